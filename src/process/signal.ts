import { constants } from "node:os";
import { AppError } from "../protocol/error.ts";

/** Reads `TERM`, `SIGTERM` or `15` as a signal's full name. Throws `invalid_input`. */
export function parseSignal(text: string): NodeJS.Signals {
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  for (const [known, number] of Object.entries(constants.signals)) {
    if (known === name || String(number) === text) return known as NodeJS.Signals;
  }
  throw new AppError(
    "invalid_input",
    `Cannot send signal "${text}": there is none of that name here; try TERM, INT, HUP or KILL`,
  );
}

/** Sends a signal to a process group, and answers whether there was one. Throws `forbidden` for another user's. */
export function signalGroup(leader: number, signal: NodeJS.Signals): boolean {
  try {
    // Windows knows no groups; there the leader alone can be signalled.
    process.kill(process.platform === "win32" ? leader : -leader, signal);
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ESRCH") return false;
    if (code !== "EPERM") throw error;
    throw new AppError(
      "forbidden",
      `Cannot signal process group ${leader}: its processes belong to another user (EPERM)`,
      { cause: error },
    );
  }
}
