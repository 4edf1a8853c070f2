import { rmSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { abortable, after } from "../lib/abort.ts";
import { isDiskFull } from "../lib/disk.ts";
import { describeError, type Log } from "../lib/log.ts";
import { type Claim, claimLedger, type StartRecord } from "../ledger/start.ts";
import type { Launcher } from "../process/launcher.ts";
import type { Libc } from "../process/libc.ts";
import { claimLock } from "../process/lock.ts";
import { REAP_EVERY, Reaper } from "../process/reaper.ts";
import { ProcessTable } from "../process/table.ts";
import { AppError, toErrorBody } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import type { Ended } from "../protocol/job.ts";
import { HOLD_GRACE } from "../protocol/limits.ts";
import { Job, type JobOptions } from "./job.ts";
import {
  encodeLinkFrame,
  FrontMessage,
  type KeeperMessage,
  LINK_VERSION,
  LinkDecoder,
  type LinkFrame,
  LinkWriter,
} from "./link.ts";
import { createSocketDirectory, type KeeperPlace, removePlace } from "./place.ts";

/** Milliseconds that a keeper without jobs waits for a front before it ends. */
const LINGER = 5_000;

export interface KeeperOptions {
  readonly state: string;
  readonly place: KeeperPlace;
  /** Identifies the executable, so that a newer front can retire this keeper. */
  readonly build: string;
  readonly libc: Libc | undefined;
  /** How this executable is run to put a program under limits; undefined where the system's own programs do that. */
  readonly launcher: Launcher | undefined;
  readonly log: Log;
}

/** What can be told of any message. */
const Verb = v.object({ type: v.string(), request: v.optional(v.number()) });

/** The front's end of the link, as long as it is the current one. */
interface Front {
  readonly socket: Bun.Socket;
  readonly writer: LinkWriter;
  readonly decoder: LinkDecoder;
  /** It was told what there is; what happens before is part of that. */
  greeted: boolean;
}

/** Owns jobs for one front after another, until there is neither. Resolves when it has ended. */
export async function keep(options: KeeperOptions, signal: AbortSignal): Promise<void> {
  using lock = claimLock(options.place.lock);
  if (lock === undefined)
    throw new AppError("state_in_use", `Cannot keep: keeper ${options.place.id} is running already`);
  const keeper = new Keeper(options);
  createSocketDirectory(options.place);
  using _listener = listen(keeper, options.place.socket);
  await abortable(keeper.ended, signal).catch(() => {}); // an abort is just another end
  removePlace(options.state, options.place);
}

function listen(keeper: Keeper, unix: string): Disposable {
  const fronts = new WeakMap<Bun.Socket, Front>();
  const listener = Bun.listen({
    unix,
    socket: {
      open(socket) {
        const front = { socket, writer: new LinkWriter(socket), decoder: new LinkDecoder(), greeted: false };
        fronts.set(socket, front);
        keeper.connect(front);
      },
      data: (socket, chunk) => keeper.receive(fronts.get(socket), chunk),
      drain: (socket) => keeper.drain(fronts.get(socket)),
      close: (socket) => keeper.disconnect(fronts.get(socket)),
      error: (socket) => void socket.terminate(),
    },
  });
  return { [Symbol.dispose]: () => listener.stop(true) };
}

class Keeper {
  readonly #options: KeeperOptions;
  readonly #jobs = new Map<JobId, Job>();
  readonly #end = Promise.withResolvers<void>();
  /** The one front that is listened to. */
  #front: Front | undefined;
  /** Jobs whose progress the front has not been told. */
  readonly #dirty = new Set<Job>();
  #flushing = false;
  /** What the last front said of how long a hold survives its client. */
  #grace: number = HOLD_GRACE;
  #retired = false;
  /** Answers that are still to be given, also to who asked for the end of the last job. */
  #owed = 0;
  #linger: Disposable | undefined;
  readonly #reaper: Reaper | undefined;
  readonly #table = new ProcessTable();
  #reaping: Disposable | undefined;

  constructor(options: KeeperOptions) {
    const { libc } = options;
    this.#options = options;
    libc?.adoptOrphans();
    this.#reaper = libc && new Reaper(libc);
    this.#startLingering();
  }

  get ended(): Promise<void> {
    return this.#end.promise;
  }

  /** A new front: whatever the old one still had to say is dropped before this one is answered. */
  connect(front: Front): void {
    this.#front?.socket.terminate();
    this.#front = front;
    this.#linger?.[Symbol.dispose]();
    this.#dirty.clear();
  }

  receive(front: Front | undefined, chunk: Uint8Array): void {
    if (front === undefined || front !== this.#front) return;
    try {
      for (const frame of front.decoder.push(chunk)) this.#handle(frame);
    } catch (error) {
      this.#options.log.error("link broken", { error: describeError(error) });
      front.socket.terminate();
    }
  }

  drain(front: Front | undefined): void {
    if (front === undefined || front !== this.#front) return;
    front.writer.drain();
    this.#startFlushing();
  }

  disconnect(front: Front | undefined): void {
    if (front !== this.#front) return;
    this.#front = undefined;
    for (const job of this.#jobs.values()) job.holds.orphanAll();
    this.#startLingering();
  }

  #startLingering(): void {
    this.#linger?.[Symbol.dispose]();
    // A timer that keeps no process alive will do: the listening socket does.
    this.#linger = after(LINGER, () => this.#endIfIdle());
  }

  #endIfIdle(): void {
    if (this.#owed > 0) return;
    if (this.#jobs.size === 0 && (this.#front === undefined || this.#retired)) this.#end.resolve();
  }

  #handle({ message, bytes }: LinkFrame): void {
    const parsed = v.safeParse(FrontMessage, message);
    if (!parsed.success) {
      return this.#refuse(message, parsed.issues[0].message);
    }
    try {
      this.#obey(parsed.output, bytes);
    } catch (error) {
      const { type } = parsed.output;
      // Input that cannot be right ends that writer only, never the link that all jobs share.
      if (type === "input" || type === "end_input") {
        this.#options.log.warn("input refused", { error: describeError(error) });
        return this.#send({ type: "input_closed", job: parsed.output.job, writer: parsed.output.writer });
      }
      if (!("request" in parsed.output)) throw error;
      this.#options.log.warn("request failed", { verb: parsed.output.type, error: describeError(error) });
      this.#send({ type: "reply", request: parsed.output.request, error: toErrorBody(error) });
    }
  }

  /** A newer front's message, or a wrong one: whoever waits for an answer gets one. */
  #refuse(message: unknown, why: string): void {
    const { type, request } = v.parse(v.fallback(Verb, { type: "?" }), message);
    this.#options.log.warn("message not understood", { verb: type, why });
    if (request === undefined) return this.#send({ type: "unknown_verb", verb: type });
    const error = new AppError("unavailable", `The keeper does not understand "${type}"`);
    this.#send({ type: "reply", request, error: toErrorBody(error) });
  }

  #obey(message: FrontMessage, bytes: Uint8Array): void {
    switch (message.type) {
      case "hello":
        this.#grace = message.grace ?? HOLD_GRACE;
        return this.#greet();
      case "spawn":
        return this.#spawn(message, bytes);
      case "attach":
        return this.#jobs.get(message.job)?.holds.attach(message.holder, message.position);
      case "hold":
        return this.#jobs.get(message.job)?.holds.move(message.holder, message.position);
      case "release":
        return this.#jobs.get(message.job)?.holds.release(message.holder);
      case "orphan":
        return this.#jobs.get(message.job)?.holds.orphan(message.holder);
      case "discard":
        return this.#jobs.get(message.job)?.holds.discard(message.holder, message.stream);
      case "writer": {
        const { job, writer } = message;
        const input = this.#jobs.get(job)?.input;
        return input ? input.open(writer) : this.#send({ type: "input_closed", job, writer });
      }
      case "input": {
        const { job, writer, offset, whole } = message;
        return this.#jobs.get(job)?.input.write(writer, offset, bytes, whole);
      }
      case "end_input":
        return this.#jobs.get(message.job)?.input.end(message.writer, message.offset);
      case "resize": {
        const { job, columns, rows } = message;
        return this.#jobs.get(job)?.resize({ columns, rows });
      }
      case "signal":
        return this.#answer(message, this.#jobs.get(message.job)?.signal(message.signal));
      case "cancel": {
        const { by, signal, grace } = message;
        const ended = this.#jobs.get(message.job)?.cancel(by, { signal, grace });
        return ended === undefined ? this.#answer(message, false) : this.#answerLater(message, ended);
      }
      case "ping":
        return this.#send({ type: "reply", request: message.request });
      case "trim":
        return this.#jobs.get(message.job)?.trim(message.bytes);
      case "retire":
        this.#retired = true;
        return this.#endIfIdle();
      case "goodbye":
        this.#front?.socket.end();
        this.#front = undefined;
        for (const job of this.#jobs.values()) job.holds.orphanAll();
        return this.#endIfIdle();
    }
  }

  #greet(): void {
    const { build, place } = this.#options;
    if (this.#front !== undefined) this.#front.greeted = true;
    const jobs = [...this.#jobs.values()].map((job) => job.progress());
    this.#send({ type: "hello", version: LINK_VERSION, build, keeper: place.id, pid: process.pid, jobs });
  }

  /** Orphans come of jobs, and may outlive them: as long as there are any of either, those that die are waited for. */
  #startReaping(): void {
    this.#reaping ??= after(REAP_EVERY, () => {
      this.#reaping = undefined;
      const orphans = this.#reaper?.runOnce() ?? 0;
      if (orphans > 0 || this.#jobs.size > 0) this.#startReaping();
    });
  }

  #spawn(message: FrontMessage & { type: "spawn" }, bytes: Uint8Array): void {
    const { request, start, env, umask, stdin, holder, file, exact, argv, user, speaks } = message;
    const { state, libc, launcher, log } = this.#options;
    if (speaks && start.terminal !== undefined)
      throw new AppError(
        "invalid_input",
        "Cannot start the job on a terminal: it is a command that has none",
      );
    if (this.#retired) throw new AppError("shutting_down", "Cannot start a job: this keeper is retired");
    if (libc?.hasRoom(this.#jobs.size) === false)
      throw new AppError(
        "unavailable",
        "Cannot start the job: no descriptors left (EMFILE); end other jobs, or raise the server's limit (ulimit -n)",
      );
    const { job: id } = start;
    const directory = join(state, "ledgers", id);
    using claim = this.#claim(directory, start);
    if (claim === undefined) return this.#send({ type: "spawned", request, created: false });
    const job = this.#begin({
      directory,
      claim,
      start,
      env,
      umask,
      stdin,
      file,
      exact,
      argv: argv ?? start.argv,
      user,
      // What is behind a message is a view of all that came over the link.
      order: speaks ? new Uint8Array(bytes) : undefined,
      speaks,
      holder,
      grace: () => this.#grace,
      libc,
      launcher,
      reaper: this.#reaper,
      table: this.#table,
      log,
      input: {
        onTaken: (writer, held, limit) => this.#send({ type: "taken", job: id, writer, held, limit }),
        onClosed: (writer) => this.#send({ type: "input_closed", job: id, writer }),
      },
      onProgress: (job) => {
        this.#dirty.add(job);
        this.#startFlushing();
      },
      onClosed: (job) => this.#remove(id, job),
    });
    this.#jobs.set(id, job);
    this.#startReaping();
    this.#send({ type: "spawned", request, created: true });
  }

  #claim(directory: string, start: StartRecord): Claim | undefined {
    try {
      return claimLedger(directory, start);
    } catch (error) {
      throw toRefusal(error);
    }
  }

  /** Starts the job, or leaves nothing behind. */
  #begin(options: JobOptions): Job {
    try {
      return new Job(options);
    } catch (error) {
      rmSync(options.directory, { recursive: true, force: true });
      throw toRefusal(error);
    }
  }

  #remove(id: JobId, job: Job): void {
    this.#dirty.delete(job);
    this.#jobs.delete(id);
    this.#send({ type: "closed", ...job.progress() });
    if (this.#front === undefined) this.#startLingering();
    if (this.#retired) this.#endIfIdle();
  }

  #answer({ request }: { request: number }, reached: boolean | undefined): void {
    if (!reached) throw notRunning();
    this.#send({ type: "reply", request });
  }

  #answerLater({ request, job }: { request: number; job: JobId }, ended: Promise<Ended | undefined>): void {
    const front = this.#front;
    this.#owed++;
    ended
      .then((ended) => {
        if (ended === undefined) throw notRunning();
        return { ended };
      })
      .catch((error: unknown) => {
        if (!(error instanceof AppError))
          this.#options.log.error("ending failed", { job, error: describeError(error) });
        return { error: toErrorBody(error) };
      })
      .then((answer) => {
        // Another front may have asked something else by that number.
        if (this.#front === front) this.#send({ type: "reply", request, ...answer });
      })
      .finally(() => {
        this.#owed--;
        if (this.#retired) this.#endIfIdle();
        else if (this.#front === undefined) this.#startLingering();
      });
  }

  /** Tells progress once per turn however often it was made, and not at all while the front is slow to read. */
  #startFlushing(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      for (const job of this.#dirty) {
        if (!this.#front?.writer.isClear) return;
        this.#dirty.delete(job);
        this.#send({ type: "progress", ...job.progress() });
      }
    });
  }

  #send(message: KeeperMessage): void {
    if (this.#front?.greeted) this.#front.writer.write(encodeLinkFrame(message));
  }
}

function notRunning(): AppError {
  return new AppError("not_running", "Cannot signal the job: none of its processes is running");
}

function toRefusal(error: unknown): unknown {
  if (!(error instanceof Error && "code" in error && /^E[A-Z]+$/.test(String(error.code)))) return error;
  const what = isDiskFull(error)
    ? "the disk of the state directory is full"
    : `the state directory cannot be written (${String(error.code)})`;
  return new AppError("unavailable", `Cannot start the job: ${what}`, { cause: error });
}
