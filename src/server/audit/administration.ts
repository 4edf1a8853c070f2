import { join } from "node:path";
import { toErrorBody } from "../../protocol/error.ts";
import type { Flags } from "../flags.ts";
import { Journal } from "./journal.ts";
import { createDraft } from "./line.ts";

/** Words of verbs that only look. */
const LOOKING = ["list", "show"];
/** Options that say where or how, and not what. */
const ASIDE = ["state", "config", "json"];

export interface AdministrationOptions {
  /** The verb, and the word behind it if there is one. */
  readonly words: readonly string[];
  readonly flags: Flags;
  /** The state directory. */
  readonly state: string;
  /** The account of whoever does it. */
  readonly account: string;
}

/**
 * Does what an administrator asks of a state directory, and takes down what it was and what came of it, beside a running
 * server's own lines. Where the log cannot be opened nothing is done.
 */
export async function administer(
  { words, flags, state, account: user }: AdministrationOptions,
  run: () => Promise<void> | undefined,
): Promise<void> {
  if (LOOKING.includes(words[1] ?? "")) return await run();
  process.umask(0o077);
  using journal = new Journal(join(state, "audit"), { now: () => new Date() });
  journal.open();
  const asked = Object.fromEntries(Object.entries(flags).filter(([name]) => !ASIDE.includes(name)));
  const take = (outcome: object) => {
    const fields = { event: "changed", user, source: "local", what: words.join(" "), ...asked, ...outcome };
    journal.append([createDraft(new Date(), fields)]);
    journal.syncNow();
  };
  try {
    await run();
  } catch (error) {
    const { code, message } = toErrorBody(error);
    take({ outcome: code, message });
    throw error;
  }
  take({ outcome: "ok" });
}
