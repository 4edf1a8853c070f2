import { escapeBytes } from "../../lib/escape.ts";
import { AppError } from "../../protocol/error.ts";
import { describeCode, toFailure, toPathDetails, toSystemCode } from "./failure.ts";
import { OutsideError } from "./outside.ts";

/** How far something came that failed or was stopped on its way. */
export interface Partial {
  readonly error: unknown;
  /** In words. */
  readonly what: string;
  /** In figures. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** The error, with how far it came. One that nobody may see is answered as it is. */
export function toPartial(action: string, path: Uint8Array, { error, what, details }: Partial): unknown {
  const os = toSystemCode(error);
  if (error instanceof OutsideError)
    return toPartial(action, path, { error: toFailure(action, path, error), what, details });
  if (os === undefined && !(error instanceof AppError)) return error;
  const why = error instanceof AppError ? error.message : describeCode(os ?? "");
  const known = error instanceof AppError ? error.details : { os };
  return new AppError(
    error instanceof AppError ? error.code : "os_error",
    `Cannot ${action} "${escapeBytes(path)}": ${why}; ${what}`,
    { details: { ...toPathDetails(path), ...known, ...details }, cause: error },
  );
}

/** Several things failed in one: a sentence of the first, and how far it came; the details have them all, up to some. */
export function toIncomplete(
  failures: readonly unknown[],
  path: Uint8Array,
  { what, details }: Pick<Partial, "what" | "details">,
): unknown {
  const [first] = failures;
  if (!(first instanceof AppError)) return first;
  const known = failures.flatMap((failure) =>
    failure instanceof AppError ? [{ message: failure.message, ...failure.details }] : [],
  );
  return new AppError(first.code, `${first.message}; ${what}`, {
    details: { ...toPathDetails(path), os: first.details?.["os"], ...details, failures: known },
    cause: first,
  });
}
