import { writeSync } from "node:fs";
import * as v from "valibot";
import { findCommand } from "../commands/index.ts";
import { keepAwake } from "../lib/abort.ts";
import { loadModule } from "../module/load.ts";
import { assume, AssumeError } from "../process/assume.ts";
import { startAttached } from "../process/attached.ts";
import { Credentials } from "../process/credentials.ts";
import { dieWithParent, volunteer } from "../process/dependence.ts";
import { type Libc, openLibc } from "../process/libc.ts";
import { nameProcess } from "../process/name.ts";
import { openInput, openOutput } from "../process/pipe.ts";
import { StartError } from "../process/program.ts";
import { inheritEnvironment, surround } from "../process/surroundings.ts";
import { openWire, TIME_SIGNAL, WIRE_ANSWERS } from "../process/wire.ts";
import { AppError } from "../protocol/error.ts";
import type { ProcessEnd } from "../protocol/outcome.ts";
import { SAID_FD } from "../protocol/said.ts";
import { CustomWork } from "../runner/custom-work.ts";
import { runJob } from "../runner/job.ts";
import type { StartedProgram } from "../runner/program.ts";
import { encodeJson } from "../runner/record.ts";
import { describeThrown } from "../runner/thrown.ts";
import { Uncaught } from "../runner/uncaught.ts";
import type { Log } from "../runner/unit.ts";
import { work } from "../runner/work.ts";
import { createRunnerContexts } from "../server/runners/context.ts";
import { JOB_RUNNER, OWN_RUNNER } from "./self.ts";

/**
 * Runs modules: as a job, which stdin says; or call after call for the front that started it, as the server's own user or another,
 * whose credentials are then the word. Answers how the process is to end, which nothing that a module left running keeps from it.
 */
export async function runRunner([word = ""]: readonly string[]): Promise<ProcessEnd> {
  const parent = process.ppid;
  nameProcess("farhandd");
  // A module may wait for nothing that an event loop knows of, and its input be over: Bun's then spins.
  using _awake = keepAwake();
  if (word === JOB_RUNNER) return await runAsJob();
  volunteer();
  try {
    if (word !== OWN_RUNNER) assume(v.parse(Credentials, JSON.parse(word)));
  } catch (error) {
    const why = error instanceof AssumeError ? error.message : "Cannot become another";
    const failure = { code: "forbidden", message: `${why}: run the server as root` };
    writeSync(WIRE_ANSWERS, encodeJson("failure", failure));
    return DONE;
  }
  process.umask(0o077);
  await doCalls(parent);
  return DONE;
}

const DONE: ProcessEnd = { type: "exited", code: 0 };

async function doCalls(parent: number): Promise<void> {
  const stopped = new AbortController();
  for (const name of ["SIGINT", "SIGHUP"] as const) process.on(name, () => {});
  process.on("SIGTERM", () => stopped.abort(new AppError("cancelled", "The caller cancelled")));
  // Where the two are the same, whoever is to end does not hear why.
  process.on(TIME_SIGNAL, () =>
    stopped.abort(new AppError("timed_out", "The time limit of the call is over")),
  );
  const libc = findLibc();
  const { orders, answers } = openWire(libc);
  inheritEnvironment();
  const log = openStderr();
  const custom = new CustomWork({
    load(module) {
      // Our own commands clean up when the front is gone; a module may be doing anything, and notice nothing.
      dieWithParent(parent);
      return loadModule(module);
    },
    surround,
    startProgram(argv) {
      dieWithParent(parent);
      return startProgram(argv, libc);
    },
    uncaught: catchAll(log),
    log,
    signal: stopped.signal,
  });
  const peer = { read: () => orders.read(), write: (bytes: Uint8Array) => answers.write(bytes) };
  await work({ peer, findCommand, toContext: createRunnerContexts(), custom }, stopped.signal);
}

async function runAsJob(): Promise<ProcessEnd> {
  const libc = findLibc();
  libc?.prepareReading(0);
  const [stdin, said] = [openOutput(Bun.file(0).stream()), openInput(SAID_FD)];
  const log = openStderr();
  try {
    return await runJob({
      peer: {
        read: () => stdin.read(),
        say: (bytes) => said.write(bytes),
        write: async (bytes) => void (await Bun.write(Bun.stdout, bytes)),
      },
      load: loadModule,
      startProgram: (argv) => startProgram(argv, libc),
      uncaught: catchAll(log),
      log,
      cwd: process.cwd(),
      env: Object.fromEntries(Object.entries(process.env).map(([name, value]) => [name, value ?? ""])),
      signal: listenForSignals(),
    });
  } catch (error) {
    log(error instanceof AppError ? error.message : describeThrown(error));
    return { type: "exited", code: 1 };
  } finally {
    await Promise.all([process.stdout, process.stderr].map(finishWriting));
  }
}

/** What a module has printed is written, at the pace at which it is read: whoever ends before that loses the rest. */
async function finishWriting(stream: NodeJS.WriteStream): Promise<void> {
  const written = Promise.withResolvers<void>();
  stream.on("error", () => written.resolve()); // nobody reads it any more
  stream.end(() => written.resolve());
  await written.promise;
}

/** The first that asks us to end aborts it; another ends us, as it would have without us. */
function listenForSignals(): AbortSignal {
  const stopped = new AbortController();
  for (const name of ["SIGINT", "SIGHUP", "SIGTERM"] as const)
    process.on(name, () => {
      if (stopped.signal.aborted) endAs({ type: "signaled", signal: name });
      stopped.abort(new AppError("cancelled", `The job was told to end (${name})`));
    });
  return stopped.signal;
}

/** Ends this process, now. What a module changed of the process does not matter: this was taken before. */
export const endAs: (end: ProcessEnd) => never = (({ exit, kill, on, pid, removeAllListeners }) => {
  const listen: (signal: NodeJS.Signals, listener: () => void) => unknown = on;
  return (end: ProcessEnd): never => {
    if (end.type === "exited") return exit.call(process, end.code);
    const signal = end.signal as NodeJS.Signals; // as the system names it
    // One that Bun ignores, as it does SIGPIPE, ends nobody before it was listened for.
    listen.call(process, signal, () => {});
    removeAllListeners.call(process, signal);
    kill.call(process, pid, signal);
    return exit.call(process, 1); // that signal ends nobody
  };
})(process);

function findLibc(): Libc | undefined {
  return process.platform === "win32" ? undefined : openLibc();
}

/** Throws `not_found` for a program that there is not, `os_error` for one that cannot run. */
function startProgram(argv: readonly string[], libc: Libc | undefined): StartedProgram {
  try {
    return startAttached(argv, libc);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    const { code, message } = error.reason;
    throw new AppError(code === "program_not_found" ? "not_found" : "os_error", message);
  }
}

/** Writes for people. */
function openStderr(): Log {
  return console.error.bind(console);
}

/** What nobody catches ends the call that is under way, if one is. */
function catchAll(log: Log): Uncaught {
  const uncaught = new Uncaught();
  for (const name of ["uncaughtException", "unhandledRejection"] as const)
    process.on(name, (error: unknown) => {
      if (!uncaught.raise(error)) log(describeThrown(error));
    });
  return uncaught;
}
