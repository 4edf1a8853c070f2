import type * as v from "valibot";
import { exec } from "../commands/exec.ts";
import type { HolderId, JobId } from "../protocol/id.ts";
import type { Input } from "./input.ts";
import type { Output } from "./output.ts";
import { type Accepted, type Session, toStdin } from "./session.ts";

export type ExecInput = v.InferInput<typeof exec.input>;

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
export interface Attached extends Launched {
  readonly output: Output;
}

/** Starts a job that this session holds. All is asked for in one go: a cold start costs one round trip. */
export function launchAttached(session: Session, input: ExecInput): Attached {
  const [job, holder] = [createJobId(), createHolderId()];
  const { accepted, output } = session.startHeld({ command: exec.name, input, job }, holder);
  return { job, accepted, output, input: openStdin(session, { job, accepted }, input) };
}

/** Starts a job that nobody waits for. */
export function launchDetached(session: Session, input: ExecInput): Launched {
  const job = createJobId();
  const accepted = session.start({ command: exec.name, input, job });
  accepted.catch(() => {}); // whoever asks for it is told
  return { job, accepted, input: openStdin(session, { job, accepted }, input) };
}

function openStdin(
  session: Session,
  { job, accepted }: Pick<Launched, "job" | "accepted">,
  { stdin, key }: ExecInput,
): Input | undefined {
  if (!stdin) return undefined;
  if (key !== undefined) return session.openStdin(accepted);
  const target = toStdin(job);
  return session.openInput(target.job, target.writer);
}

export function createJobId(): JobId {
  return Bun.randomUUIDv7() as JobId;
}

export function createHolderId(): HolderId {
  return crypto.randomUUID() as HolderId;
}
