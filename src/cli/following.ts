import { invoke } from "../client/invoke.ts";
import { toUnit, type Unit } from "../client/unit.ts";
import type { Output } from "../client/output.ts";
import type { Session } from "../client/session.ts";
import type { Missing } from "../client/tally.ts";
import { jobShow } from "../commands/job-show.ts";
import { wait } from "../commands/wait.ts";
import { abortable } from "../lib/abort.ts";
import { toJsonLine } from "../lib/escape.ts";
import type { From } from "../protocol/control.ts";
import { AppError } from "../protocol/error.ts";
import type { JobSummary } from "../protocol/job.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { Packet } from "../protocol/packet.ts";
import { adviseReadingOn } from "./advice.ts";
import { complain, type Context } from "./context.ts";
import { countValues } from "./count-values.ts";
import { explainOutcome, FAILURE, NO_MATCH, toExitCode, toSignalCode } from "./exit.ts";
import type { Onlooker } from "./onlooker.ts";
import { type Pace, toPaced } from "./pace.ts";
import { play, type Played } from "./play.ts";
import { PrefixRenderer } from "./prefix.ts";
import {
  createJobJsonRenderer,
  createTimestampRenderer,
  type Renderer,
  renderJson,
  renderPlain,
  toTimestamp,
} from "./render.ts";
import { findTail } from "./tail.ts";
import { Until } from "./until.ts";
import { toTaskTexts } from "./task-texts.ts";
import { forPeople, numbered, toTexts } from "./value-text.ts";

/** Of prefixes, one job after another; red comes last, as it looks like an error. */
const COLORS = [36, 32, 33, 35, 34, 31] as const;

/** The command of a job that is a task. */
const TASK = "task";

/** Where reading begins: at a packet or a value, at the last of them, or at the last lines. */
export type Begin =
  | { readonly type: "since"; readonly number: number }
  | { readonly type: "recent"; readonly count: number }
  | { readonly type: "tail"; readonly lines: number };

/** What was asked for, of every job. */
export interface Wanted {
  readonly begin: Begin;
  /** What is counted there; undefined: what is usual for the job's command. */
  readonly unit?: Unit | undefined;
  readonly pattern: RegExp | undefined;
  /** Whether what comes later is wanted, or only what there is now. */
  readonly isLive: boolean;
  readonly hasTimestamps: boolean;
  /** Whether the number of each value stands before it. */
  readonly isNumbered?: boolean;
  /** With the pauses in which it was written; undefined: as fast as it comes. */
  readonly pace: Pace | undefined;
  readonly isOneOfMany: boolean;
}

interface Heard extends Played {
  /** How the job ended; undefined where reading stopped before that. */
  readonly outcome: Outcome | undefined;
}

/** One job that is followed, alone or beside others. */
export class Following {
  readonly #session: Session;
  readonly #job: JobSummary;
  readonly #wanted: Wanted;
  readonly #index: number;
  readonly #until: Until | undefined;
  #output: Output | undefined;
  #isStopped = false;

  /** `index`: its place among those followed, for its colour. */
  constructor(session: Session, job: JobSummary, wanted: Wanted, index: number) {
    this.#session = session;
    this.#job = job;
    this.#wanted = wanted;
    this.#index = index;
    this.#until = wanted.pattern && new Until(wanted.pattern);
  }

  /** Whether a line was found that was looked for. */
  get matched(): boolean {
    return this.#until?.matched === true;
  }

  /** Reads no more. */
  stop(): void {
    this.#isStopped = true;
    this.#output?.close();
  }

  /** Answers the exit code. What goes wrong with one of many is told, and ends none of the others. */
  async run(context: Context): Promise<number> {
    try {
      return this.#conclude(await this.#play(context), context);
    } catch (error) {
      const { signal, globals, sinks } = context;
      const isOwn = error instanceof AppError && !this.#session.ended.aborted && !signal.aborted;
      if (!this.#wanted.isOneOfMany || !isOwn) throw error;
      const { code, message } = error;
      if (globals.json)
        sinks.stdout.writeLine(toJsonLine({ job: this.#job.id, type: "error", code, message }));
      else complain(context, message);
      return FAILURE;
    }
  }

  async #play(context: Context): Promise<Heard> {
    const { signal, globals, sinks } = context;
    const words = this.#wanted.isNumbered === true ? numbered(forPeople(context)) : forPeople(context);
    const toTextsOf = (packet: Packet) =>
      this.#job.command === TASK ? toTaskTexts(packet, words) : toTexts(packet, words);
    const { from, trim, last } = await this.#plan(toTextsOf, signal);
    if (this.#isStopped || from === undefined)
      return { exit: undefined, missing: undefined, outcome: undefined };
    const lines = this.#wanted.isOneOfMany && !globals.json ? this.#createPrefixRenderer(context) : undefined;
    const onlooker = await this.#openOnlooker(context);
    const plain = lines?.render ?? onlooker?.render ?? this.#toRenderer(globals.json);
    const render = this.#compose((packet) => toTextsOf(packet).map(trim), plain, globals.json);
    const output = (this.#output = this.#session.openOutput(this.#job.id, from));
    const isLast = (packet: Packet) => this.matched || (last !== undefined && toLastNumber(packet) >= last);
    const { pace } = this.#wanted;
    const playing = play(pace === undefined ? output : toPaced(output, pace, signal), {
      sinks,
      render,
      isShared: globals.json,
      unread: "stop",
      until: "closed",
      isLast,
    });
    const played = await abortable(playing, signal)
      .catch((error: unknown) => {
        const next = lines?.held ?? output.next;
        if (signal.aborted || next === undefined) throw error;
        throw adviseReadingOn(error, { job: this.#job.id, next, unit: toUnit(this.#job) }, globals);
      })
      .finally(() => onlooker?.leave());
    output.close();
    for (const { stream, bytes } of lines?.rest() ?? []) sinks[stream].write(bytes);
    const isOver = !this.#isStopped && !this.matched && this.#wanted.isLive && !sinks.stdout.isUnread;
    const outcome = isOver
      ? (played.exit?.outcome ?? (await findOutcome(this.#session, this.#job, output.next, signal)))
      : undefined;
    return { ...played, outcome };
  }

  #conclude({ missing, outcome }: Heard, context: Context): number {
    const { number } = this.#job;
    if (context.sinks.stdout.isUnread) return toSignalCode("PIPE");
    if (!this.#wanted.isLive) this.#until?.finish();
    if (missing !== undefined) complain(context, explainMissing(missing, number));
    if (this.matched || this.#isStopped) return 0;
    if (missing !== undefined) return FAILURE;
    if (this.#until !== undefined) {
      complain(context, `No line of job ${number} matches ${this.#wanted.pattern}`);
      return NO_MATCH;
    }
    if (outcome === undefined) return 0;
    const sentence = explainOutcome(outcome, String(number));
    if (sentence !== undefined && !context.globals.json) complain(context, sentence);
    return toExitCode(outcome);
  }

  /** Where to begin, if there is anything, what not to show there, and the last packet if only those are wanted that there are now. */
  async #plan(toTexts: ToTexts, signal: AbortSignal): Promise<Plan> {
    const { begin, isLive, unit = toUnit(this.#job) } = this.#wanted;
    const trim: Trim = (packet) => packet;
    // What comes before the first value is wanted too.
    const from: From =
      begin.type === "tail" ? FROM_START : unit === "packets" || isFirst(begin) ? begin : { ...begin, unit };
    if (isLive && begin.type !== "tail") return { from, trim, last: undefined };
    const { id: job } = this.#job;
    const { next } = await invoke(this.#session, jobShow, { job }, signal);
    const last = isLive ? undefined : next - 1;
    if (begin.type === "tail") {
      const tail = await findTail(this.#session, { job, next, toTexts }, begin.lines, signal);
      return { from: { type: "since", number: tail.since }, trim: tail.trim, last };
    }
    const isOfValues = from.unit === "values";
    const count = isOfValues ? await countValues(this.#session, { job, next }, signal) : next;
    const number = begin.type === "since" ? begin.number : Math.max(0, count - begin.count);
    if (number >= count) return { from: undefined, trim, last };
    return { from: { type: "since", number, ...(isOfValues && { unit }) }, trim, last };
  }

  /** Shows of each packet what belongs to the last lines, up to the line that was looked for. JSON keeps packets whole. */
  #compose(toTexts: ToTexts, render: Renderer, isJson: boolean): Renderer {
    return (packet) => {
      const texts = toTexts(packet).filter((text) => !("bytes" in text) || text.bytes.length > 0);
      const cut = texts.map((text) => this.#until?.look(text) ?? text);
      if (!isJson) return cut.flatMap(render);
      const [whole = packet] = texts;
      return texts.length === 0 ? [] : render("bytes" in packet ? whole : packet);
    };
  }

  #toRenderer(json: boolean): Renderer {
    if (json) return this.#wanted.isOneOfMany ? createJobJsonRenderer(this.#job.id) : renderJson;
    return this.#wanted.hasTimestamps ? createTimestampRenderer(this.#start) : renderPlain;
  }

  /** For a job on a terminal that is shown on another, alone and as it is. */
  async #openOnlooker(context: Context): Promise<Onlooker | undefined> {
    const { terminal, number } = this.#job;
    const { isOneOfMany, hasTimestamps } = this.#wanted;
    if (terminal === undefined || isOneOfMany || hasTimestamps || context.globals.json) return undefined;
    if (context.screen() === undefined) return undefined;
    const { Onlooker } = await import("./onlooker.ts");
    return new Onlooker(context, number, terminal);
  }

  #createPrefixRenderer({ hasColors }: Context): PrefixRenderer {
    const colored = { stdout: hasColors("stdout"), stderr: hasColors("stderr") };
    return new PrefixRenderer((at, stream) => {
      const time = this.#wanted.hasTimestamps ? toTimestamp(this.#start, at) : "";
      const name = `[${this.#job.number}]`;
      return `${colored[stream] ? `\x1b[${COLORS[this.#index % COLORS.length]}m${name}\x1b[0m` : name} ${time}`;
    });
  }

  get #start(): number {
    return Date.parse(this.#job.startedAt);
  }
}

interface Plan {
  readonly from: From | undefined;
  readonly trim: Trim;
  readonly last: number | undefined;
}

const FROM_START: From = { type: "since", number: 0 };

function isFirst(begin: Begin): boolean {
  return begin.type === "since" && begin.number === 0;
}

type Trim = (packet: Packet) => Packet;
type ToTexts = (packet: Packet) => readonly Packet[];

/** The number of the last packet that one stands for: a gap stands for many. */
function toLastNumber(packet: Packet): number {
  return packet.type === "gap" ? packet.next - 1 : packet.number;
}

/** How a job ended whose exit was not among what was read, which began behind it. `next`: where reading ended. */
async function findOutcome(
  session: Session,
  { id, number }: JobSummary,
  next: number | undefined,
  signal: AbortSignal,
): Promise<Outcome> {
  const { outcome, totals } = await invoke(session, wait, { job: id }, signal);
  if (outcome === undefined)
    throw new AppError("incomplete_output", `Job ${number} ended without an outcome`);
  if (totals !== undefined && next !== undefined && next <= totals.packets)
    throw new AppError(
      "incomplete_output",
      `Output of job ${number} is incomplete: it ends before packet ${next}, the exit is packet ${totals.packets}`,
    );
  return outcome;
}

function explainMissing({ packets, values, stdoutBytes, stderrBytes }: Missing, job: number): string {
  if (packets === 0) return `Output of job ${job} is incomplete: ${values} values are gone`;
  const counted = values === undefined || values === 0 ? "" : `, ${values} values`;
  const bytes =
    stdoutBytes === undefined
      ? "how many bytes is unknown, since reading began later"
      : `${stdoutBytes} bytes of stdout, ${stderrBytes} bytes of stderr${counted}`;
  return `Output of job ${job} is incomplete: ${packets} packets are gone (${bytes})`;
}
