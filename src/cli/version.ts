import { findTarget } from "../client/config.ts";
import { dial } from "../client/dial.ts";
import { escapeLines, toJsonLine } from "../lib/escape.ts";
import { COMMIT, VERSION } from "../lib/version.ts";
import { type Context, toPlace } from "./context.ts";

/** Milliseconds that a server has to tell its version. */
const PATIENCE = 500;

/** This client's version, and the server's if it answers quickly. Never fails. */
export async function runVersion(context: Context): Promise<number> {
  const { globals, env, sinks, signal } = context;
  const own = { name: "farhand", version: VERSION, commit: COMMIT };
  const server = await findServerVersion();
  const text = [`farhand ${VERSION} (${COMMIT})`, ...(server === undefined ? [] : [`server ${server}`])];
  sinks.stdout.writeLine(globals.json ? toJsonLine({ ...own, server }) : escapeLines(text.join("\n")));
  return 0;

  async function findServerVersion(): Promise<string | undefined> {
    const stop = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]);
    try {
      await using session = await dial(() => findTarget(toPlace(context), env), {
        signal: stop,
        patience: PATIENCE,
      });
      return (await session.welcome).agent.version.replace(/\s/g, " ");
    } catch {
      return undefined; // there is none, or none that answers us
    }
  }
}
