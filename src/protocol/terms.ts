import * as v from "valibot";
import { isPlain } from "./cbor/plain.ts";
import { Environment } from "./environment.ts";
import {
  DEFAULT_KEEP_BYTES,
  MAX_GRACE,
  MAX_INFO_BYTES,
  MAX_KEY,
  MAX_LABEL_NAME,
  MAX_LABEL_VALUE,
  MAX_LABELS,
  MAX_PLAIN_DEPTH,
  MIN_KEEP_BYTES,
} from "./limits.ts";
import { Terminal } from "./terminal.ts";

const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** Names of labels: what can stand before the `=` of `name=value` in any shell. */
const LABEL_NAME = /^[A-Za-z0-9][\w./-]*$/;

/** What people call a job by, name to value. */
export const Labels = v.pipe(
  Environment,
  v.check((labels) => Object.keys(labels).length <= MAX_LABELS, `has more than ${MAX_LABELS} labels`),
  v.check(
    (labels) => Object.keys(labels).every((name) => name.length <= MAX_LABEL_NAME && LABEL_NAME.test(name)),
    `has a label whose name is no word of at most ${MAX_LABEL_NAME} letters, digits and ._/-`,
  ),
  v.check(
    (labels) =>
      Object.values(labels).every((value) => value.length <= MAX_LABEL_VALUE && value.isWellFormed()),
    `has a label whose value is no text of at most ${MAX_LABEL_VALUE} characters`,
  ),
);
export type Labels = v.InferOutput<typeof Labels>;

/** Where a job must end or is held back, enforced where it runs. */
export const JobLimits = v.object({
  /** Milliseconds from its start. */
  execMs: v.optional(positive),
  /** Milliseconds without output. */
  idleMs: v.optional(positive),
  /** Bytes of stdout and stderr together. */
  outputBytes: v.optional(positive),
  /** Bytes of memory of all its processes together, or of each where the system cannot count them together. */
  memoryBytes: v.optional(positive),
  /** Processes and threads at once. */
  processes: v.optional(positive),
  /** How much it gives way to others, as nice(1) has it. */
  nice: v.optional(v.pipe(v.number(), v.integer(), v.minValue(-20), v.maxValue(19))),
  /** Milliseconds between TERM and KILL when a limit or a lost client ends it. */
  graceMs: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_GRACE))),
});
export type JobLimits = v.InferOutput<typeof JobLimits>;

/** The terms on which a job runs, besides its program; they stand in its start record. */
export const Terms = v.object({
  labels: v.optional(Labels),
  /** Anything that the caller wants to find again. */
  info: v.optional(
    v.pipe(
      v.unknown(),
      v.check(
        (info) => Buffer.byteLength(JSON.stringify(info) ?? "") <= MAX_INFO_BYTES,
        `takes more than ${MAX_INFO_BYTES} bytes`,
      ),
      v.check(
        (info) => isPlain(info),
        `is nested deeper than ${MAX_PLAIN_DEPTH} levels, or made of too many objects`,
      ),
    ),
  ),
  /** The idempotency key: a second call with it is answered with the first one's job. */
  key: v.optional(
    v.pipe(
      v.string(),
      v.nonEmpty("is empty"),
      v.maxLength(MAX_KEY, `has more than ${MAX_KEY} characters`),
      v.check((key) => key.isWellFormed(), "is no text"),
    ),
  ),
  /** What becomes of the job when its last holder's client has been gone for the grace (default `keep`). */
  onDisconnect: v.optional(v.picklist(["keep", "kill"])),
  limits: v.optional(JobLimits),
  /** The terminal that it runs on; pipes without. */
  terminal: v.optional(Terminal),
});
export type Terms = v.InferOutput<typeof Terms>;

/** Bytes of a job's output to keep. */
export const KeepOutput = v.union([
  v.literal("all"),
  v.pipe(v.number(), v.safeInteger(), v.minValue(MIN_KEEP_BYTES)),
]);

const { terminal: _none, ...termsOfCalls } = Terms.entries;

/** What a call says of the job that it becomes, where its command's input has no place for that: of every one but `exec`. */
export const CallTerms = v.strictObject({
  ...termsOfCalls,
  keepOutput: v.optional(KeepOutput, DEFAULT_KEEP_BYTES),
  /** Whether its input stays open, for what is sent to it later. */
  stdin: v.optional(v.boolean(), true),
});
export type CallTerms = v.InferOutput<typeof CallTerms>;
