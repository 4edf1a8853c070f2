import type * as v from "valibot";
import { exec } from "../commands/exec.ts";
import type { HolderId, JobId, WriterId } from "../protocol/id.ts";
import type { CallTerms } from "../protocol/terms.ts";
import { toValue } from "../protocol/value.ts";
import type { Input } from "./input.ts";
import type { Output, Readable } from "./output.ts";
import { type Accepted, type Session, type Start, toStdin } from "./session.ts";

export type ExecInput = v.InferInput<typeof exec.input>;

/** The same, of what may be more than we know. */
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

/** Starts a program in a job that this session holds. All is asked for in one go: a cold start costs one round trip. */
export function launchAttached(
  session: Session,
  input: JobInput,
  { feeds = true }: LaunchOptions = {},
): Attached<Output> {
  return attach(session, { command: exec.name, input }, feeds ? input : {});
}

/** Starts a program in a job that nobody waits for. */
export function launchDetached(
  session: Session,
  input: JobInput,
  { feeds = true }: LaunchOptions = {},
): Launched {
  return detach(session, { command: exec.name, input }, feeds ? input : {});
}

/** A call of a command of the server's own that becomes a job. */
export interface Order {
  readonly command: string;
  readonly input: unknown;
  /** On what terms, for which its input has no place. */
  readonly terms: v.InferInput<typeof CallTerms>;
}

/** Starts its job, which this session holds. */
export function orderAttached(session: Session, order: Order, { feeds = true }: LaunchOptions = {}) {
  return attach(session, { ...order, encode: toValue }, { stdin: feeds, key: order.terms.key });
}

/** Starts its job, for which nobody waits. */
export function orderDetached(session: Session, order: Order, { feeds = true }: LaunchOptions = {}) {
  return detach(session, { ...order, encode: toValue }, { stdin: feeds, key: order.terms.key });
}

/** What is to be known of a job to write to its stdin. */
type Fed = Pick<JobInput, "stdin" | "key" | "terminal">;

function attach(session: Session, start: Omit<Start, "job">, fed: Fed): Attached<Output> {
  const [job, holder] = [createJobId(), createHolderId()];
  const { accepted, output } = session.startHeld({ ...start, job }, holder);
  return { job, accepted, output, input: openStdin(session, { job, accepted }, fed) };
}

function detach(session: Session, start: Omit<Start, "job">, fed: Fed): Launched {
  const job = createJobId();
  const accepted = session.start({ ...start, job });
  accepted.catch(() => {}); // whoever asks for it is told
  return { job, accepted, input: openStdin(session, { job, accepted }, fed) };
}

function openStdin(
  session: Session,
  { job, accepted }: Pick<Launched, "job" | "accepted">,
  { stdin, key, terminal }: Fed,
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
