import { resolve } from "node:path";
import * as v from "valibot";
import { toBareMessage } from "../lib/message.ts";
import { defaultState } from "../lib/state.ts";
import { AppError } from "../protocol/error.ts";
import { parseForeignJson } from "../protocol/json.ts";
import { type Environment, findTarget } from "./config.ts";
import type { Connection } from "./connection.ts";
import { type ConnectOptions, Member } from "./member.ts";
import { toShipment } from "./tasks/shipment.ts";
import type { StartTaskOptions } from "./tasks/tasks.ts";

export interface StartServerOptions {
  /** The executable (default: the `farhandd` that is found in the PATH). */
  readonly path?: string;
  /** Where it listens: `host:port` or `unix:/path`, one or several (default 127.0.0.1:9922); port 0 is a free one. */
  readonly listen?: string | readonly string[];
  /** Its state directory (default: FARHAND_STATE, else the user's). */
  readonly state?: string;
  /** Its configuration file. */
  readonly config?: string;
  /** A task that it is to have from the start. */
  readonly task?: StartTaskOptions & { readonly name: string };
  /** The server's environment, in which PATH and FARHAND_STATE are looked up too (default: ours). */
  readonly env?: Environment;
  readonly signal?: AbortSignal;
}

/** A server on this machine that runs by itself: it does not end with this program. */
export interface StartedServer {
  /** Where it answers on this machine. */
  readonly url: string;
  /** All that it listens on, and where it has TLS, the pin of its key: what programs elsewhere need, besides a token of theirs. */
  readonly addresses: readonly string[];
  readonly pin: string | undefined;
  readonly pid: number;
  readonly version: string;
  /** Its state directory, by which programs of the same user find it again. */
  readonly state: string;
  /** What lets its own user in, until it is started again. */
  readonly token: string;
  /** Connects to it, also when it was started again meanwhile. */
  connect(options?: ConnectOptions): Promise<Connection>;
}

const Status = v.object({
  pid: v.number(),
  version: v.string(),
  listen: v.array(v.string()),
  tls: v.optional(v.object({ pin: v.string() })),
});
type Status = v.InferOutput<typeof Status>;

/**
 * Starts a server in the background and resolves once it answers, with its task if it is to have one. Throws `not_found` where
 * there is no executable, `already_exists` where a server has this state directory, `unavailable` with the reason where it
 * does not start, and what `tasks.start` throws; none is left then.
 */
export async function startServer(options: StartServerOptions = {}): Promise<StartedServer> {
  const { task, env = process.env, signal } = options;
  // Before anything is started that would have to be ended again.
  const module = task && (await toShipment(task.module));
  const state = resolve(options.state ?? defaultState(env));
  const farhandd = findFarhandd(options.path, env);
  const run: Run = (verb, ...args) =>
    runFarhandd([farhandd, verb, "--state", state, ...args], { env, signal });
  const server = toStarted(await start(run, options), state);
  if (task === undefined || module === undefined) return server;
  const { name, ...how } = task;
  try {
    await using connection = await server.connect(signal && { signal });
    await connection.tasks.start(name, { ...how, module: module.source });
    return server;
  } catch (error) {
    await runFarhandd([farhandd, "stop", "--state", state], { env }).catch(() => {}); // what is told is why
    throw error;
  }
}

type Run = (verb: string, ...args: readonly string[]) => Promise<Ran>;

async function start(run: Run, { listen = [], config }: StartServerOptions): Promise<Status> {
  const addresses = [listen].flat().flatMap((address) => ["--listen", address]);
  const given = [...addresses, ...(config === undefined ? [] : ["--config", config])];
  const { code, stdout, stderr } = await run("start", "--json", ...given);
  const broken = (what: string) =>
    new AppError("protocol_error", `Cannot start a server: what farhandd answers ${what}`);
  if (code === 0) return v.parse(Status, parseForeignJson(stdout, broken));
  const running = await run("status", "--json");
  const reason =
    stderr.trim().replace(/^farhandd: /, "") || `Cannot start a server: farhandd ended with ${code}`;
  throw new AppError(running.code === 0 ? "already_exists" : "unavailable", reason);
}

/** It is found by what it leaves in its state directory: another address and token once it is started again. */
function toStarted({ pid, version, listen, tls }: Status, state: string): StartedServer {
  const { host, token = "" } = findTarget({ state }, {});
  const place = { state, login: undefined, workspace: undefined };
  const connect = (options?: ConnectOptions) => new Member(host.url, place, {}, () => {}).connect(options);
  return { url: host.url, addresses: listen, pin: tls?.pin, pid, version, state, token, connect };
}

function findFarhandd(path: string | undefined, env: Environment): string {
  const found = path ?? Bun.which("farhandd", { PATH: env["PATH"] ?? "" });
  if (found !== null) return resolve(found);
  throw new AppError(
    "not_found",
    "Cannot start a server: there is no farhandd in the PATH; install it, or say where it is with path",
  );
}

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function runFarhandd(
  argv: readonly string[],
  { env, signal }: { readonly env: Environment; readonly signal?: AbortSignal | undefined },
): Promise<Ran> {
  signal?.throwIfAborted();
  try {
    const options = {
      env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      ...(signal && { signal }),
    } as const;
    const child = Bun.spawn([...argv], options);
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    signal?.throwIfAborted();
    return { code: child.exitCode, stdout, stderr };
  } catch (error) {
    signal?.throwIfAborted();
    const why = `"${argv[0]}" cannot be run: ${toBareMessage(error)}`;
    throw new AppError("unavailable", `Cannot start a server: ${why}`, { cause: error });
  }
}
