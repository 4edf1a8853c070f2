import type * as v from "valibot";
import { exec } from "../commands/exec.ts";
import type { HolderId, JobId, WriterId } from "../protocol/id.ts";
import { toJsonValue, toValue } from "../protocol/value.ts";
import type { Input } from "./input.ts";
import type { Output, Readable } from "./output.ts";
import { type Accepted, type Session, toStdin } from "./session.ts";

export type ExecInput = v.InferInput<typeof exec.input>;

/** The input of a command that becomes a job. */
export type JobInput = Readonly<Record<string, unknown>> &
  Pick<ExecInput, "stdin" | "key" | "terminal" | "secrets">;

/** A job that was asked for. */
export interface Launched {
  /** The id that was asked for; what `accepted` tells is another's where a job of the same key was there. */
  readonly job: JobId;
  /** Rejects when the server refuses, or is gone before it answered. */
  readonly accepted: Promise<Accepted>;
  /** What it takes as its stdin, if it was given one. */
  readonly input: Input | undefined;
}

/** A job that waits for us to read what it writes. */
export interface Attached<O extends Readable = Readable> extends Launched {
  readonly output: O;
}

export interface LaunchOptions {
  /** Whether we write to its stdin; otherwise it is left to others. */
  readonly feeds?: boolean;
}

/** Starts a job that this session holds. All is asked for in one go: a cold start costs one round trip. */
export function launchAttached(
  session: Session,
  input: JobInput,
  command: string = exec.name,
  { feeds = true }: LaunchOptions = {},
): Attached<Output> {
  const [job, holder] = [createJobId(), createHolderId()];
  const encode = command === exec.name ? toJsonValue : toValue;
  const { accepted, output } = session.startHeld({ command, input, job, encode }, holder);
  return { job, accepted, output, input: feeds ? openStdin(session, { job, accepted }, input) : undefined };
}

/** Starts a job that nobody waits for. */
export function launchDetached(
  session: Session,
  input: ExecInput,
  { feeds = true }: LaunchOptions = {},
): Launched {
  const job = createJobId();
  const accepted = session.start({ command: exec.name, input, job });
  accepted.catch(() => {}); // whoever asks for it is told
  return { job, accepted, input: feeds ? openStdin(session, { job, accepted }, input) : undefined };
}

function openStdin(
  session: Session,
  { job, accepted }: Pick<Launched, "job" | "accepted">,
  { stdin, key, terminal }: JobInput,
): Input | undefined {
  if (!stdin) return undefined;
  // What was typed to the job before is not the beginning of what is typed now.
  if (key !== undefined) return session.openStdin(accepted, terminal && createWriterId());
  const target = toStdin(job);
  return session.openInput(target.job, target.writer);
}

/** Names a job before it is there. */
export function createJobId(): JobId {
  return Bun.randomUUIDv7() as JobId;
}

/** Names a reader that a job is to wait for. */
export function createHolderId(): HolderId {
  return crypto.randomUUID() as HolderId;
}

/** Names a stream of input. */
function createWriterId(): WriterId {
  return crypto.randomUUID() as WriterId;
}
