import { parseDuration } from "../lib/duration.ts";
import { AppError } from "../protocol/error.ts";
import { type JobFilter, type Moment, StateWord } from "../protocol/filter.ts";
import type { CliArg, CliValues } from "./define.ts";

/** The options by which the command line says which jobs are meant. */
export const filterArgs = {
  state: {
    type: "string",
    valueHint: "state,…",
    multiple: true,
    description: `Only these: ${StateWord.options.join(", ")}`,
  },
  command: {
    type: "string",
    valueHint: "name",
    description: "Only of this command, or running this program",
  },
  match: { type: "string", valueHint: "text", description: "Only with this text in program and arguments" },
  label: {
    type: "string",
    alias: "l",
    valueHint: "name[=value]",
    multiple: true,
    description: "Only with this label; repeated, with all of them",
  },
  since: {
    type: "string",
    valueHint: "when",
    description: "Only started since then: 1h (ago), or a time such as 2026-01-31T12:00",
  },
  before: { type: "string", valueHint: "when", description: "Only started before then" },
} as const satisfies Readonly<Record<string, CliArg>>;

/** Reads those options; undefined where none was given. Throws `invalid_input`, naming the option. */
export function toFilter(values: CliValues): JobFilter | undefined {
  const states = values
    .list("state")
    .flatMap((list) => list.split(","))
    .map(parseState);
  const [command, match] = [values.text("command"), values.text("match")];
  const labels = values.list("label");
  const [since, before] = [values.text("since"), values.text("before")];
  const filter: JobFilter = {
    ...(states.length > 0 && { states }),
    ...(command !== undefined && { command }),
    ...(match !== undefined && { match }),
    ...(labels.length > 0 && { labels: labels.map(checkLabel) }),
    ...(since !== undefined && { startedSince: parseMoment("--since", since) }),
    ...(before !== undefined && { startedBefore: parseMoment("--before", before) }),
  };
  return Object.keys(filter).length > 0 ? filter : undefined;
}

/** Reads how long ago something was (`1h`), or when. Throws `invalid_input`. */
export function parseMoment(option: string, text: string): Moment {
  if (/^[\d.]+[a-z]+$/.test(text)) return parseDuration(text);
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return new Date(time).toISOString();
  throw refused(
    option,
    text,
    "write how long ago, such as 90s, 1h or 7d, or a time such as 2026-01-31T12:00",
  );
}

/** Reads a word for a state, also with hyphens. Throws `invalid_input`. */
function parseState(text: string): StateWord {
  const word = text.trim().replaceAll("-", "_");
  const state = StateWord.options.find((option) => option === word);
  if (state !== undefined) return state;
  const hint = text.includes("/") ? "; a directory of that option goes before the verb" : "";
  throw refused("--state", text, `choose of ${StateWord.options.join(", ")}${hint}`);
}

function checkLabel(text: string): string {
  if (!text.startsWith("=") && text !== "") return text;
  throw refused("--label", text, "write name or name=value");
}

function refused(option: string, text: string, why: string): AppError {
  return new AppError("invalid_input", `Cannot use ${option} "${text.slice(0, 200)}": ${why}`);
}
