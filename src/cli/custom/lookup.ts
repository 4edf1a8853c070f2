import type { Session } from "../../client/session.ts";
import { AppError } from "../../protocol/error.ts";
import { toOptions } from "../console/fields.ts";
import { type Context, openSession } from "../context.ts";
import { findNear } from "../near.ts";
import { StandingSession } from "../standing.ts";
import type { Verb } from "../verb.ts";
import { verbs } from "../verbs.ts";
import { type Definition, listDefinitions } from "./definition.ts";
import { toVerb } from "./verb.ts";

export { checkScanned, scanGlobals } from "./scan.ts";

/** A command that only the server knows. */
export interface Found {
  readonly verb: Verb;
  /** The connection on which it was asked for, to be called on and then closed. */
  readonly standing: StandingSession;
}

/**
 * Asks the server what a word means that no verb has. Throws `unknown_command`, with what was perhaps meant, and why the server
 * cannot be asked.
 */
export async function findCustom(word: string, context: Context): Promise<Found> {
  if (!isName(word)) throw toUnknown(word, []);
  const standing = new StandingSession((signal) => openSession({ ...context, signal }));
  await using stack = new AsyncDisposableStack();
  stack.use(standing);
  await using session = await standing.lend(context.signal).catch((error: unknown) => {
    throw toUnasked(word, error);
  });
  const definition = await describe(session, word, context.signal);
  const verb = toVerb(definition);
  stack.move();
  return { standing, verb: { ...verb, spell: (words) => toOptions(words.map(toBare), verb) } };
}

/** Whether a server may have a command of that name, in any of its spellings. */
export function isName(word: string): boolean {
  return /^[a-z][\w-]{0,63}$/i.test(word);
}

/** What its server says that a command is. Throws `unknown_command`, with what was perhaps meant. */
export async function describe(session: Session, word: string, signal: AbortSignal): Promise<Definition> {
  try {
    const [definition] = await listDefinitions(session, signal, [word.replaceAll("_", "-")]);
    if (definition !== undefined) return definition;
  } catch (error) {
    if (!(error instanceof AppError && error.code === "unknown_command")) throw toUnasked(word, error);
  }
  const all = await listDefinitions(session, signal).catch(() => []); // it is too old to tell
  throw toUnknown(
    word,
    all.map(({ name }) => name),
  );
}

function toUnknown(word: string, others: readonly string[]): AppError {
  const near = findNear(word, [...new Set([...Object.keys(verbs), ...others])]);
  const advice =
    near.length === 0
      ? "farhand --help and farhand commands list them"
      : `did you mean ${near.join(" or ")}?`;
  return new AppError("unknown_command", `Cannot do "${word}": there is no such command; ${advice}`);
}

/** Why the server could not be asked, and for what it was to be. */
function toUnasked(word: string, error: unknown): unknown {
  if (!(error instanceof AppError) || error.message.includes("\n")) return error;
  const near = findNear(word, Object.keys(verbs));
  const meant = near.length === 0 ? "" : `, unless you mean ${near.join(" or ")}`;
  return new AppError(
    error.code,
    `Cannot do "${word}", which only the server may know${meant}: ${error.message}`,
    {
      details: error.details,
      cause: error,
    },
  );
}

/** The shell has taken the quotes away: how it was written cannot be told any more. */
function toBare(text: string) {
  return { text, bare: text.length };
}
