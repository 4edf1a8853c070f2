import type { Unit } from "../client/unit.ts";
import { quote } from "../lib/quote.ts";
import { AppError, type ErrorCode } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import type { Globals } from "./globals.ts";

/** Failures of the link to the server, which say nothing of what a job does. */
const LINK_FAILURES: readonly ErrorCode[] = ["connection_lost", "peer_lost", "timed_out", "shutting_down"];

/** Where reading of a job's output stopped. */
export interface Bookmark {
  readonly job: JobId;
  /** The first packet that is not written yet. */
  readonly next: number;
  /** What is counted of that job unless told. */
  readonly unit?: Unit | undefined;
}

/** The failure to read a job's output, with how to read on unless there is nothing left to read. */
export function adviseReadingOn(error: unknown, { job, next, unit }: Bookmark, globals: Globals): unknown {
  if (!(error instanceof Error)) return error;
  if (error instanceof AppError && error.code === "not_found") return error;
  const counted = unit === "values" ? " --unit packets" : "";
  const message = `${error.message}; to read on: ${toFarhand(globals)} follow ${job} --since ${next}${counted}`;
  if (!(error instanceof AppError)) return Object.assign(error, { message });
  return new AppError(error.code, message, { details: { ...error.details, job, next }, cause: error });
}

/** The failure of a call that was not answered: where only the link failed, the job may run all the same. */
export function adviseLookingUp(error: unknown, job: JobId, globals: Globals): unknown {
  if (!(error instanceof AppError)) return error;
  if (!isLinkFailure(error)) return error;
  const message = `${error.message} before the server answered; whether the job runs tells ${toFarhand(globals)} jobs ${job}`;
  return new AppError("outcome_unknown", message, { details: { job }, cause: error });
}

/** Whether only the link to the server has failed, also where it could not be restored for another reason. */
export function isLinkFailure({ code, details }: AppError): boolean {
  return LINK_FAILURES.includes(code) || details?.["lost"] !== undefined;
}

/** How the same server is reached again. */
export function toFarhand({ host, state, ca, clientCert, clientKey, insecure }: Globals): string {
  const files = { "--ca": ca, "--client-cert": clientCert, "--client-key": clientKey };
  const options = { "-H": host, "--state": state, ...files };
  const given = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [name, quote(value)],
  );
  return ["farhand", ...given, ...(insecure === true ? ["--insecure"] : [])].join(" ");
}
