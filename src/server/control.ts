import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { delay } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import type { LocalServer } from "../protocol/local.ts";
import type { ServerStatus } from "./app.ts";
import { findLocalServer, isStateLocked, prepareState } from "./state.ts";

/** Milliseconds between two looks, and for which a server may take to start or to stop. */
const POLL = 20;
const PATIENCE = 15_000;

/** The running server of a state directory and what it says of itself, or undefined when none answers. */
export async function findServer(
  state: string,
  signal: AbortSignal,
): Promise<{ readonly local: LocalServer; readonly status: ServerStatus } | undefined> {
  const local = findLocalServer(state);
  if (local === undefined) return undefined;
  try {
    const response = await fetch(`${local.url}/v1/status`, {
      headers: authorization(local),
      redirect: "error",
      signal,
    });
    if (!response.ok) return undefined; // another server has the port, and another token
    const status = (await response.json()) as ServerStatus; // our own server's, proven by its accepting the token
    return status.pid === local.pid ? { local, status } : undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

/** Starts a server in the background and resolves when it answers. Throws the reason when it does not. */
export async function start(
  state: string,
  command: { readonly argv: readonly string[]; readonly argv0: string },
  signal: AbortSignal,
): Promise<ServerStatus> {
  prepareState(state);
  const running = await findServer(state, signal);
  if (running !== undefined) {
    throw new AppError(
      "already_exists",
      `Cannot start: farhandd runs already with pid ${running.status.pid} at ${running.local.url}`,
    );
  }
  const outputPath = join(state, "logs", "start.out");
  const output = openSync(outputPath, "w", 0o600);
  const child = Bun.spawn([...command.argv], {
    argv0: command.argv0,
    stdio: ["ignore", output, output],
    detached: true,
  });
  closeSync(output);
  child.unref();
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]);
  for (;;) {
    const found = await findServer(state, deadline);
    if (found?.status.pid === child.pid) return found.status;
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new AppError(
        "unavailable",
        findReason(readFileSync(outputPath, "utf8")) ?? "Cannot start: the server ended without a word",
      );
    }
    await delay(POLL, deadline);
  }
}

/** Asks the server to stop and resolves when it has. Answers its last status; its running jobs go on. */
export async function stop(state: string, signal: AbortSignal): Promise<ServerStatus> {
  const found = await findServer(state, signal);
  if (found === undefined)
    throw new AppError("not_running", `Cannot stop: no farhandd answers for state directory "${state}"`);
  await fetch(`${found.local.url}/v1/stop`, {
    method: "POST",
    headers: authorization(found.local),
    redirect: "error",
    signal,
  });
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]);
  while (isStateLocked(state)) await delay(POLL, deadline);
  return found.status;
}

/** What a server that ended said of it, apart from its log and a stack. */
function findReason(output: string): string | undefined {
  const said = output.split("\n").findLast((line) => line.startsWith("farhandd: "));
  return said?.replace("farhandd: ", "");
}

function authorization({ token }: LocalServer): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}
