import { invoke } from "../client/invoke.ts";
import { createHolderId } from "../client/launch.ts";
import type { Readable } from "../client/output.ts";
import type { Session } from "../client/session.ts";
import { toUnit } from "../client/unit.ts";
import { jobShow } from "../commands/job-show.ts";
import type { WriterId } from "../protocol/id.ts";
import type { JobDetails } from "../protocol/job.ts";
import { type Arguments, type ArgSpecs, parseCount } from "./arguments.ts";
import { complain, type Context, openSession } from "./context.ts";
import { escapeArg, parseEscape } from "./escape-keys.ts";
import { attend, attendOnTerminal } from "./exec.ts";
import { Following } from "./following.ts";
import { toMapped } from "./mapped.ts";
import { Mute } from "./mute.ts";
import { toRecalled } from "./recall.ts";
import type { Verb } from "./verb.ts";

/** Bytes of a terminal's record of which its screen is made up: half a second's work, and hours of a quiet program. */
const RECALLED_BYTES = 2 * 1024 * 1024;

const args = {
  job: { type: "positional", required: true, description: "Number, id, unique prefix of one, or @last" },
  "read-only": {
    type: "boolean",
    description: "Only look on: the job gets no key, no signal and no size from us",
  },
  stdin: { type: "boolean", description: "--no-stdin leaves the job's input to others" },
  since: { type: "string", valueHint: "n", description: "Without a terminal: start at packet n (default 0)" },
  ...escapeArg,
} as const satisfies ArgSpecs;

/** Comes back to a job: it waits for us again, gets what we type, and its terminal, if it has one, is ours. */
export const attach: Verb = {
  summary: "Come back to a job: see what it shows, type to it, and exit with its code",
  args,
  examples: [
    ["farhand attach @last", "come back to a shell that was left by ~d, or by a lost connection"],
    ["farhand attach 3 --read-only", "look over somebody's shoulder; ~d at the beginning of a line leaves"],
    ["farhand attach 3 --since 1042", "a job without a terminal, from where another reader stopped"],
  ],
  run,
};

/** What was asked for. */
interface Wanted {
  readonly since: number;
  readonly isReadOnly: boolean;
  readonly hasStdin: boolean;
  readonly escape: number | undefined;
}

async function run(values: Arguments, context: Context): Promise<number> {
  const wanted = {
    since: parseCount("--since", values.text("since") ?? "0"),
    isReadOnly: values.flag("read-only"),
    hasStdin: values.choice("stdin") ?? true,
    escape: parseEscape(values.text("escape") ?? "~"),
  };
  await using session = await openSession(context);
  const job = await invoke(session, jobShow, { job: values.text("job") ?? "" }, context.signal);
  if (job.outcome !== undefined && !context.globals.json)
    complain(context, `Job ${job.number} has ended: this is what it left`);
  if (await isShown(job, context)) return await attachTerminal(session, job, wanted, context);
  if (wanted.isReadOnly) return await follow(session, job, wanted, context);
  const output = session.openOutput(job.id, { type: "since", number: wanted.since }, createHolderId());
  return await attend(session, toAttached(session, job, output, wanted), context, { unit: toUnit(job) });
}

/** Whether the job's terminal can be ours: both sides have one. */
async function isShown({ terminal }: JobDetails, context: Context): Promise<boolean> {
  if (terminal === undefined || context.globals.json || context.screen() === undefined) return false;
  return (await context.localTerminal()) !== undefined;
}

/** Whoever only looks on is not waited for, and its signals are its own. */
async function follow(
  session: Session,
  job: JobDetails,
  { since }: Wanted,
  context: Context,
): Promise<number> {
  const wanted = {
    begin: { type: "since", number: since },
    unit: "packets",
    pattern: undefined,
    isLive: true,
    hasTimestamps: false,
    pace: undefined,
    isOneOfMany: false,
  } as const;
  return await new Following(session, job, wanted, 0).run(context);
}

/** The last to attach sets the size, so that what its program paints fits. Who only looks on takes it as it is. */
async function attachTerminal(
  session: Session,
  job: JobDetails,
  wanted: Wanted,
  context: Context,
): Promise<number> {
  const { id, next, terminal } = job;
  const own = context.screen();
  if (terminal === undefined || own === undefined) throw new Error("unreachable: there is none to attach to");
  const { isReadOnly, escape } = wanted;
  const isSizeless = own.columns === 0 || own.rows === 0; // as a serial line is, or a container's terminal
  const holder = isReadOnly ? undefined : createHolderId();
  const from = { type: "recent", count: RECALLED_BYTES, unit: "bytes" } as const;
  const output = toRecalled({
    output: session.openOutput(id, from, holder),
    terminal,
    next,
    size: isReadOnly || isSizeless ? undefined : own,
    resize: (size) => session.resize(id, size),
    signal: context.signal,
  });
  // What stood here goes up, where it can be scrolled back to.
  context.sinks.stdout.write(`\x1b[${own.rows};1H${"\n".repeat(own.rows)}`);
  const shown = isReadOnly ? toMuted(output) : output;
  return await attendOnTerminal(session, toAttached(session, job, shown, wanted), context, {
    escape,
    isReadOnly,
  });
}

/** Nobody would read what our terminal answers. */
function toMuted(output: Readable): Readable {
  const mute = new Mute();
  return toMapped(output, (packet) =>
    packet.type === "stdout" ? { ...packet, bytes: mute.pass(packet.bytes) } : packet,
  );
}

function toAttached(
  session: Session,
  { id: job, number, outcome }: JobDetails,
  output: Readable,
  { isReadOnly, hasStdin }: Wanted,
) {
  const isTyping = !isReadOnly && hasStdin && outcome === undefined;
  const input = isTyping ? session.openInput(job, crypto.randomUUID() as WriterId) : undefined;
  return { job, accepted: Promise.resolve({ job, number }), output, input };
}
