import { count } from "../lib/count.ts";
import { formatDuration } from "../lib/duration.ts";
import { AppError } from "../protocol/error.ts";
import type { Restriction } from "../protocol/restriction.ts";
import { listRestrictions } from "../protocol/token.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, print } from "./context.ts";
import { writeWord } from "./console/words.ts";
import { getOwnToken } from "./own-token.ts";
import type { Verb } from "./verb.ts";

/** Shows what a token was narrowed to, and nothing of it that is secret. */
export const tokenShow: Verb = {
  summary: "Show a token's id and what it was narrowed to; needs no server",
  args: {},
  examples: [
    ["farhand -H web1 token show", "the one that is used for that host"],
    ["FARHAND_TOKEN=$(cat fetch.token) farhand token show --json", "one in a file"],
  ],
  run,
};

async function run(_values: Arguments, context: Context): Promise<number> {
  const token = getOwnToken(context, "show");
  const links = listRestrictions(token);
  if (links === undefined)
    throw new AppError(
      "invalid_input",
      "Cannot show the token: its links do not lead to its key; no server takes it",
    );
  print(context, { id: token.id, links }, () => describe(token.id, links, Date.now()));
  return 0;
}

function describe(id: string, links: readonly Restriction[], now: number): string {
  if (links.length === 0) return `token ${id}: as the server made it, with all that its roles allow`;
  const lines = links.map(
    (link, index) => `  ${index + 1}. ${toClauses(link, now).join("; ") || "nothing less"}`,
  );
  return [`token ${id}, narrowed ${count(links.length, "time")}, each of which holds:`, ...lines].join("\n");
}

function toClauses(
  { commands, argv, environment, roots, uses, expires }: Restriction,
  now: number,
): string[] {
  return [
    commands && `only ${commands.join(", ")}`,
    argv && `to run ${argv.map((words) => words.map(toShown).join(" ")).join(", or ")}`,
    environment && `setting ${environment.join(", ")}`,
    roots && `in ${roots.join(" or ")}`,
    uses === undefined ? undefined : count(uses, "use"),
    expires === undefined ? undefined : toEnd(expires * 1_000, now),
  ].filter((clause) => clause !== undefined);
}

/** A word of a pattern, in which globs stay bare. */
function toShown(word: string): string {
  return /^[\w@%+:,./*?[\]!^-]+$/.test(word) ? word : writeWord(word);
}

function toEnd(expires: number, now: number): string {
  const when = new Date(expires).toISOString();
  return expires <= now ? `expired since ${when}` : `until ${when}, in ${formatDuration(expires - now)}`;
}
