import { open } from "node:fs/promises";
import { findCommand, listCommands } from "../commands/index.ts";
import { toErrorCode } from "../lib/error-code.ts";
import { parseDuration } from "../lib/duration.ts";
import { AppError } from "../protocol/error.ts";
import type { Restriction } from "../protocol/restriction.ts";
import { formatToken, narrowToken } from "../protocol/token.ts";
import type { Arguments } from "./arguments.ts";
import { complain, type Context, print } from "./context.ts";
import { splitWords } from "./console/words.ts";
import { getOwnToken } from "./own-token.ts";
import type { Verb } from "./verb.ts";

/** Makes a token that may do less. */
export const tokenNarrow: Verb = {
  summary: "Make a token from yours that may do less; needs no server, and prints it alone on stdout",
  args: {
    only: {
      type: "string",
      valueHint: "command",
      multiple: true,
      description: "Only these commands (globs, such as job-*); exec brings what looks after its own jobs",
    },
    argv: {
      type: "string",
      valueHint: "pattern",
      multiple: true,
      description:
        "Run only this: words, each a glob; * takes no option, and a last ** any words that are none",
    },
    cwd: {
      type: "string",
      valueHint: "dir",
      multiple: true,
      description: "Run programs and touch files only in this directory of the server",
    },
    env: {
      type: "string",
      valueHint: "NAME",
      multiple: true,
      description: "Set only these variables (globs); with --argv none may be set unless this names it",
    },
    uses: { type: "string", valueHint: "n", description: "So many calls, with all that is made from it" },
    expires: {
      type: "string",
      valueHint: "when",
      description: "For so long, such as 1h, or until a time such as 2026-01-31T12:00",
    },
    out: {
      type: "string",
      valueHint: "file",
      description: "Write it to this new file, which only you can read",
    },
  },
  examples: [
    [
      "farhand token narrow --only exec --argv 'git fetch *' --cwd /srv/app --uses 2 --expires 1h",
      "for a script",
    ],
    [
      "farhand token narrow --only ls,find,rdfile --cwd /var/log --expires 7d --out look.token",
      "for a colleague who looks",
    ],
    ["farhand token narrow --argv './deploy.sh **' --env 'DEPLOY_*'", "any words but options, and variables"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const restriction = toRestriction(values, Date.now());
  warnOfUnknown(restriction, context);
  const token = narrowToken(getOwnToken(context, "narrow"), restriction);
  const text = formatToken(token);
  const path = values.text("out");
  if (path !== undefined) await writeNew(path, text);
  print(context, { token: text, id: token.id, restriction }, () => (path === undefined ? text : path));
  return 0;
}

function toRestriction(values: Arguments, now: number): Restriction {
  const [argv, roots, environment] = [
    values.list("argv").map(toPattern),
    values.list("cwd"),
    values.list("env"),
  ];
  const only = values.list("only").flatMap((names) => names.split(","));
  const commands = argv.length > 0 && only.length === 0 ? ["exec"] : only;
  const [uses, expires] = [values.text("uses"), values.text("expires")];
  const relative = roots.find((root) => !/^([/\\]|[A-Za-z]:[/\\])/.test(root));
  if (relative !== undefined)
    throw refused("--cwd", relative, "write an absolute path, as the server has it");
  const restriction: Restriction = {
    ...(commands.length > 0 && { commands: commands.map((name) => name.replaceAll("_", "-")) }),
    ...(argv.length > 0 && { argv }),
    ...(environment.length > 0 && { environment: [...environment] }),
    ...(roots.length > 0 && { roots: [...roots] }),
    ...(uses !== undefined && { uses: parseUses(uses) }),
    ...(expires !== undefined && { expires: parseExpiry(expires, now) }),
  };
  if (Object.keys(restriction).length > 0) return restriction;
  throw new AppError(
    "invalid_input",
    "Cannot narrow a token by nothing: say what it may do less, such as --only exec or --expires 1h",
  );
}

function toPattern(text: string): string[] {
  const words = splitWords(text).map(({ text }) => text);
  if (words.length === 0 || words.includes("")) throw refused("--argv", text, "name a program and its words");
  return words;
}

function parseUses(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw refused("--uses", text, "write a whole number from 1 on");
}

/** In seconds since 1970, rounded up: a token lives at least as long as was said. */
function parseExpiry(text: string, now: number): number {
  const time = /^[\d.]+[a-z]+$/.test(text) ? now + parseDuration(text) : Date.parse(text.replace(" ", "T"));
  if (Number.isNaN(time))
    throw refused("--expires", text, "write a duration such as 1h, or a time such as 2026-01-31T12:00");
  if (time <= now) throw refused("--expires", text, "that is over");
  return Math.ceil(time / 1_000);
}

/** A server may have commands of its own, so that what is not known here is not refused. */
function warnOfUnknown({ commands = [] }: Restriction, context: Context): void {
  const names = listCommands().map(({ name }) => name);
  for (const glob of commands) {
    if (/[*?[\\]/.test(glob) || findCommand(glob) !== undefined) continue;
    complain(
      context,
      `No command that this farhand knows is called "${glob}"; there are ${names.join(", ")}`,
    );
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  try {
    const file = await open(path, "wx", 0o600);
    try {
      await file.writeFile(`${text}\n`);
    } finally {
      await file.close();
    }
  } catch (error) {
    const why = toErrorCode(error) ?? String(error);
    throw new AppError(
      "invalid_input",
      `Cannot write "${path}": ${why === "EEXIST" ? "it is there already" : why}`,
      {
        cause: error,
      },
    );
  }
}

function refused(option: string, text: string, why: string): AppError {
  return new AppError("invalid_input", `Cannot use ${option} "${text.slice(0, 200)}": ${why}`);
}
