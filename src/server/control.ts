import { closeSync, fstatSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { delay } from "../lib/abort.ts";
import { isDiskFull } from "../lib/disk.ts";
import type { Again } from "../process/again.ts";
import { MARK } from "../process/census.ts";
import { AppError } from "../protocol/error.ts";
import type { LocalServer } from "../protocol/local.ts";
import type { ServerStatus } from "./app.ts";
import { ReloadReport } from "./reload.ts";
import { StopReport, type StopRequest } from "./shutdown.ts";
import { findLocalServer, isStateLocked, prepareState } from "./state.ts";
import { timeLimit } from "./time-limit.ts";

/** Milliseconds between two looks. */
const POLL = 20;
/** Milliseconds for which a server may take to start or to stop. */
const PATIENCE = 15_000;
/** Milliseconds for which a running server may take to answer. */
const ANSWER_PATIENCE = 5_000;
/** The same for one that reads everything anew: each of its modules may take twenty seconds until it is given up. */
const RELOAD_PATIENCE = 90_000;
/** Bytes kept free for why a server did not start: a page, as file systems count. */
const REASON_BYTES = 4_096;
/** Milliseconds after the grace for which the answer of a server that ends its jobs is waited for. */
const END_PATIENCE = 30_000;

/** A running server, and what it says of itself. */
interface Found {
  readonly local: LocalServer;
  readonly status: ServerStatus;
}

/**
 * The running server of a state directory and what it says of itself, or undefined when there is none. Throws `timed_out`
 * when there is one that does not answer.
 */
export async function findServer(state: string, signal: AbortSignal): Promise<Found | undefined> {
  const local = findLocalServer(state);
  if (local === undefined) return undefined;
  const limit = answerLimit(local);
  try {
    const response = await ask(local, "GET", "/v1/status", AbortSignal.any([signal, limit]));
    if (!response.ok) return undefined; // another server has the port, and another token
    const status = (await response.json()) as ServerStatus; // our own server's, proven by its accepting the token
    return status.pid === local.pid ? { local, status } : undefined;
  } catch (error) {
    // What was left by a server that is dead may lead to somebody else, who does not answer either.
    if (signal.aborted || (limit.aborted && isStateLocked(state))) throw error;
    return undefined;
  }
}

/** The same, once it is not about to stop: then there will be none. Throws `timed_out` when it does not end. */
async function findStaying(state: string, signal: AbortSignal): Promise<Found | undefined> {
  const late = `Cannot start: another farhandd is stopping, and holds "${state}" for more than ${PATIENCE / 1_000} s`;
  const limited = AbortSignal.any([signal, timeLimit(PATIENCE, late)]);
  for (;;) {
    const found = await findServer(state, limited);
    if (found !== undefined && !(await isStopping(found.local, limited))) return found;
    // At its end it takes its address back a moment before it lets go of the state.
    const isEnding = found !== undefined || findLocalServer(state) === undefined;
    if (!isEnding || !isStateLocked(state)) return undefined;
    await delay(POLL, limited);
  }
}

/** Whether a server takes nothing new any more. One that has gone meanwhile has stopped. */
async function isStopping(local: LocalServer, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await ask(local, "GET", "/readyz", signal);
    return (await response.text()) === "stopping\n";
  } catch {
    signal.throwIfAborted();
    return true;
  }
}

/**
 * Starts a server in the background and resolves when it answers. Throws the reason when it does not within `patience`
 * milliseconds; then none is left.
 */
export async function start(
  state: string,
  { argv, argv0 }: Again,
  signal: AbortSignal,
  patience: number = PATIENCE,
): Promise<ServerStatus> {
  prepareState(state);
  const running = await findStaying(state, signal);
  if (running !== undefined) {
    throw new AppError(
      "already_exists",
      `Cannot start: farhandd runs already with pid ${running.status.pid} at ${running.local.url}`,
    );
  }
  using output = openOutput(state);
  const { [MARK]: _ours, ...env } = process.env; // a server that a job starts is no part of that job
  const child = Bun.spawn([...argv], { argv0, env, stdio: ["ignore", output.fd, output.fd], detached: true });
  child.unref();
  const late = `Cannot start: pid ${child.pid} did not answer within ${patience / 1_000} s; see logs/server.log in "${state}"`;
  const limited = AbortSignal.any([signal, timeLimit(patience, late)]);
  try {
    for (;;) {
      const found = await findServer(state, limited);
      if (found?.status.pid === child.pid) return found.status;
      if (child.exitCode !== null || child.signalCode !== null) {
        const reason = findReason(output.read());
        throw new AppError("unavailable", reason ?? "Cannot start: the server ended without a word");
      }
      await delay(POLL, limited);
    }
  } catch (error) {
    child.kill("SIGKILL"); // it has no jobs: those are its keepers'
    throw error;
  }
}

/** The server that somebody else has just started, when it answers. Throws `timed_out` when none does. */
export async function waitForServer(state: string, signal: AbortSignal): Promise<ServerStatus> {
  const late = `The service is installed, but no server answered within ${PATIENCE / 1_000} s; see logs/server.log in "${state}"`;
  const limited = AbortSignal.any([signal, timeLimit(PATIENCE, late)]);
  for (;;) {
    const found = await findServer(state, limited);
    if (found !== undefined) return found.status;
    await delay(POLL, limited);
  }
}

/** How a server stopped: its last status, and what became of the jobs that it should end. */
export interface Stopped extends StopReport {
  readonly status: ServerStatus;
}

/** Asks the server to stop and resolves when it has. Its running jobs go on unless they should end first. */
export async function stop(state: string, request: StopRequest, signal: AbortSignal): Promise<Stopped> {
  const found = await findServer(state, signal);
  if (found === undefined)
    throw new AppError("not_running", `Cannot stop: no farhandd answers for state directory "${state}"`);
  const { local, status } = found;
  const patience = request.jobs === undefined ? ANSWER_PATIENCE : request.jobs.grace + END_PATIENCE;
  const limit = answerLimit(local, patience);
  const response = await ask(local, "POST", "/v1/stop", AbortSignal.any([signal, limit]), request);
  // A server of an earlier version answers something else, and ends no jobs.
  const report = v.parse(v.fallback(StopReport, { ended: 0, left: [] }), await response.json());
  const late = `Cannot stop farhandd: pid ${local.pid} has not ended within ${PATIENCE / 1_000} s; ${ADVICE}`;
  const limited = AbortSignal.any([signal, timeLimit(PATIENCE, late)]);
  while (isStateLocked(state)) await delay(POLL, limited);
  return { status, ...report };
}

/** Has the server read its configuration and certificate anew, and answers what that changed. Throws `connection_lost` where it ends meanwhile. */
export async function reload(state: string, signal: AbortSignal): Promise<ReloadReport> {
  const found = await findServer(state, signal);
  if (found === undefined)
    throw new AppError("not_running", `Cannot reload: no farhandd answers for state directory "${state}"`);
  const limited = AbortSignal.any([signal, answerLimit(found.local, RELOAD_PATIENCE)]);
  const response = await ask(found.local, "POST", "/v1/reload", limited).catch((error: unknown) => {
    limited.throwIfAborted();
    const { pid } = found.local;
    throw new AppError("connection_lost", `Cannot reload: farhandd with pid ${pid} has ended`, {
      cause: error,
    });
  });
  if (response.ok) return v.parse(ReloadReport, await response.json());
  throw new AppError(
    "unavailable",
    "Cannot reload: the running farhandd is of an earlier version; start it again",
  );
}

const ADVICE = "if it does not recover, end it with kill -9, which leaves jobs running, and start it again";

function answerLimit({ pid }: LocalServer, patience = ANSWER_PATIENCE): AbortSignal {
  const seconds = patience / 1_000;
  const late = `Cannot reach farhandd: pid ${pid} runs but did not answer within ${seconds} s; ${ADVICE}`;
  return timeLimit(patience, late);
}

function ask(
  { url, token }: LocalServer,
  method: "GET" | "POST",
  path: string,
  signal: AbortSignal,
  body?: StopRequest,
): Promise<Response> {
  const socket = url.startsWith("unix:") ? url.slice("unix:".length) : undefined;
  const options = {
    ...(socket !== undefined && { unix: socket }),
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body && { body: JSON.stringify(body) }),
    redirect: "error",
    timeout: false, // the signal decides
    // Neither HTTP_PROXY nor BUN_CONFIG_VERBOSE_FETCH of the environment may have the token. Bun's types do not know all of it.
    proxy: false,
    verbose: false,
    signal,
  };
  const at = socket === undefined ? url : "http://localhost";
  return fetch(`${at}${path}`, options as unknown as BunFetchRequestInit);
}

/**
 * A file for what a server that is being started writes, with room for a reason; whatever becomes of us, it leaves no
 * trace. Throws `unavailable` on a full disk.
 */
function openOutput(state: string): Disposable & { readonly fd: number; read(): string } {
  const path = join(state, "logs", `start-${crypto.randomUUID()}.out`);
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  try {
    // At a position of its own, so that the server writes over it.
    writeSync(fd, Buffer.alloc(REASON_BYTES), 0, REASON_BYTES, 0);
  } catch (error) {
    closeSync(fd);
    if (!isDiskFull(error)) throw error;
    throw new AppError("unavailable", `Cannot start: the disk of "${state}" is full; make room`, {
      cause: error,
    });
  }
  return {
    fd,
    read() {
      const bytes = Buffer.alloc(fstatSync(fd).size);
      return bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, 0));
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** What a server that ended said of it, apart from its log and a stack. */
function findReason(output: string): string | undefined {
  const said = output.split(/[\n\0]/).findLast((line) => line.startsWith("farhandd: "));
  return said?.replace("farhandd: ", "");
}
