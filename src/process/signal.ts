import { constants } from "node:os";
import { toErrorCode } from "../lib/error-code.ts";
import { toSignalName, toSignalNumber } from "../lib/signal.ts";
import { AppError } from "../protocol/error.ts";

/** The highest signal of Linux. */
const LAST_SIGNAL = 64;

/** Reads `TERM`, `SIGTERM`, `15`, `RTMIN+3` or `37` as a signal's full name. Throws `invalid_input`. */
export function parseSignal(text: string): NodeJS.Signals {
  const upper = text.toUpperCase();
  const number = /^\d+$/.test(text)
    ? Number(text)
    : toSignalNumber(upper.startsWith("SIG") ? upper : `SIG${upper}`);
  // Node's type has no names of real-time signals.
  if (number !== undefined && isSignal(number)) return toSignalName(number) as NodeJS.Signals;
  throw new AppError(
    "invalid_input",
    `Cannot send signal "${text}": there is none of that name here; try TERM, INT, HUP or KILL`,
  );
}

/** Linux has no gaps among its signals, and real-time ones at the end of them. */
function isSignal(number: number): boolean {
  if (process.platform === "linux") return number >= 1 && number <= LAST_SIGNAL;
  return Object.values(constants.signals).some((known) => known === number);
}

/** Sends a signal to a process group, and answers whether there was one. Throws `forbidden` for another user's. */
export function signalGroup(leader: number, signal: NodeJS.Signals): boolean {
  // Windows knows no groups; there the leader alone can be signalled.
  return send(
    process.platform === "win32" ? leader : -leader,
    signal,
    `process group ${leader}: its processes belong`,
  );
}

/** Sends a signal to one process, and answers whether there was one. Throws `forbidden` for another user's. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  return send(pid, signal, `process ${pid}: it belongs`);
}

/** Kills a process of Windows with its descendants, as its own tool does. */
export function killTree(pid: number): void {
  Bun.spawnSync(["taskkill", "/T", "/F", "/PID", String(pid)], { stdio: ["ignore", "ignore", "ignore"] });
}

function send(target: number, signal: NodeJS.Signals, who: string): boolean {
  try {
    // By number, since Node knows no real-time signals by name.
    process.kill(target, toSignalNumber(signal) ?? signal);
    return true;
  } catch (error) {
    const code = toErrorCode(error);
    if (code === "ESRCH") return false;
    if (code !== "EPERM") throw error;
    throw new AppError("forbidden", `Cannot signal ${who} to another user (EPERM)`, {
      cause: error,
    });
  }
}
