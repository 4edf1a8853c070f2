import { existsSync } from "node:fs";
import { parseDuration } from "../../lib/duration.ts";
import { toJsonLine } from "../../lib/escape.ts";
import { AppError } from "../../protocol/error.ts";
import type { Flags } from "../flags.ts";
import { AUDIT_ACTIONS, AUDIT_EVENTS } from "./event.ts";
import { describeLine, describeProof } from "./report.ts";
import { type AuditFilter, selectLines } from "./selection.ts";
import { verifyAudit } from "./verification.ts";

export interface InquiryOptions {
  /** Where the log is. */
  readonly directory: string;
  readonly now: Date;
  /** Resolves when whoever reads has taken it. */
  readonly print: (text: string) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Proves an audit log or shows lines of it; answers the exit code. Throws `invalid_input`, `not_found`. */
export async function inquire(flags: Flags, options: InquiryOptions): Promise<number> {
  const { directory, now } = options;
  const action = AUDIT_ACTIONS.find((action) => action === flags["action"]);
  if (action === undefined)
    throw new AppError(
      "invalid_input",
      `Cannot read the command line: write farhandd audit ${AUDIT_ACTIONS.join(" or ")}`,
    );
  const expect = toExpected(flags, action);
  const filter = toFilter(flags, action, now);
  if (!existsSync(directory))
    throw new AppError("not_found", `Cannot read the audit log: there is none in "${directory}"`);
  return action === "verify" ? await verify(expect, flags, options) : await show(filter, flags, options);
}

async function verify(
  expect: string | undefined,
  flags: Flags,
  { directory, print }: InquiryOptions,
): Promise<number> {
  const proof = await verifyAudit(directory, expect);
  await print(flags["json"] ? toJsonLine(proof) : describeProof(proof));
  return proof.holds ? 0 : 1;
}

async function show(
  filter: AuditFilter,
  flags: Flags,
  { directory, print, signal }: InquiryOptions,
): Promise<number> {
  const how = { follow: Boolean(flags["follow"]), signal };
  try {
    for await (const line of selectLines(directory, filter, how))
      await print(flags["json"] ? toJsonLine(line.fields) : describeLine(line));
  } catch (error) {
    if (!signal.aborted) throw error; // else whoever looked on has seen enough
  }
  return 0;
}

function toExpected(flags: Flags, action: string): string | undefined {
  const expect = flags["expect"];
  if (expect === undefined) return undefined;
  if (action === "verify" && typeof expect === "string" && /^[0-9a-f]{64}$/i.test(expect))
    return expect.toLowerCase();
  throw new AppError(
    "invalid_input",
    "Cannot use --expect: it goes with verify, and takes a hash of 64 hexadecimal digits",
  );
}

function toFilter(flags: Flags, action: string, now: Date): AuditFilter {
  const text = (name: string) => (typeof flags[name] === "string" ? flags[name] : undefined);
  const given = ["since", "user", "event", "job", "follow"].find((name) => flags[name] !== undefined);
  if (action !== "show" && given !== undefined)
    throw new AppError("invalid_input", `Cannot use --${given} with verify: it goes with show`);
  const [since, event] = [text("since"), text("event")];
  if (event !== undefined && !AUDIT_EVENTS.some((known) => known === event))
    throw new AppError(
      "invalid_input",
      `Cannot use --event "${event}": choose one of ${AUDIT_EVENTS.join(", ")}`,
    );
  return {
    since: since === undefined ? undefined : toMoment(since, now),
    user: text("user"),
    event,
    job: text("job"),
  };
}

/** A time as it is written, or how long ago that is. */
function toMoment(text: string, now: Date): Date {
  if (/^\d{4}-/.test(text) && !Number.isNaN(Date.parse(text))) return new Date(text);
  try {
    return new Date(now.getTime() - parseDuration(text));
  } catch {
    throw new AppError(
      "invalid_input",
      `Cannot use --since "${text}": write how long ago, such as 1h or 7d, or a time such as 2026-11-28T10:00:00Z`,
    );
  }
}
