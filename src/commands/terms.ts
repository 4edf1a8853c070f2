import { parseDuration } from "../lib/duration.ts";
import { toMessage } from "../lib/message.ts";
import { parseSize } from "../lib/size.ts";
import { AppError } from "../protocol/error.ts";
import { MAX_GRACE, MIN_KEEP_BYTES } from "../protocol/limits.ts";
import type { JobLimits, Terms } from "../protocol/terms.ts";
import type { CliArg, CliValues } from "./define.ts";

/** The options by which the command line states the terms on which a job runs. */
export const termsArgs = {
  label: {
    type: "string",
    alias: "l",
    valueHint: "name=value",
    multiple: true,
    description: "Label the job, to find it by; may be repeated",
  },
  info: {
    type: "string",
    valueHint: "json",
    description: "Anything to be found again with the job, as JSON",
  },
  key: {
    type: "string",
    valueHint: "key",
    description: "Start nothing if a job of this key was started; answer as that one",
  },
  "on-disconnect": {
    type: "string",
    valueHint: "keep|kill",
    description: "Whether the job goes on when its client is gone for two minutes (default keep)",
  },
  "max-exec-time": {
    type: "string",
    valueHint: "duration",
    description: "End the job when it has run so long",
  },
  "idle-timeout": {
    type: "string",
    valueHint: "duration",
    description: "End the job when it has written nothing for so long",
  },
  "max-output": { type: "string", valueHint: "size", description: "End the job when it has written more" },
  "max-memory": {
    type: "string",
    valueHint: "size",
    description: "Memory that its processes may take (each of them, where they cannot be counted together)",
  },
  "max-processes": { type: "string", valueHint: "n", description: "Processes and threads that it may have" },
  nice: { type: "string", valueHint: "n", description: "Give way to others: -20 to 19, as nice(1) has it" },
  grace: {
    type: "string",
    valueHint: "duration",
    description: "Time from TERM to KILL when a limit ends the job (default 5s, at most 1h)",
  },
} as const satisfies Readonly<Record<string, CliArg>>;

/** How much of a job's output is kept. */
export const keepArg = {
  type: "string",
  valueHint: "size|all",
  description: "Output kept on the server (default 64MiB, at least 1MiB)",
} as const satisfies CliArg;

/** Reads that option. Throws a `RangeError`. */
export function toKeepOutput(values: CliValues): { readonly keepOutput?: number | "all" } {
  const text = values.text("keep-output");
  if (text === undefined) return {};
  if (text === "all") return { keepOutput: text };
  const bytes = parseSize(text);
  if (bytes < MIN_KEEP_BYTES) throw new RangeError(`Cannot keep only "${text}" of output: the least is 1MiB`);
  return { keepOutput: bytes };
}

/** Reads those options. Throws a `RangeError` or `invalid_input`, naming the option. */
export function toTerms(values: CliValues): Terms {
  const labels = values.list("label").map(parseLabel);
  const [info, key, onDisconnect] = [values.text("info"), values.text("key"), values.text("on-disconnect")];
  const limits = toLimits(values);
  return {
    ...(labels.length > 0 && { labels: Object.fromEntries(labels) }),
    ...(info !== undefined && { info: parseInfo(info) }),
    ...(key !== undefined && { key }),
    ...(onDisconnect !== undefined && { onDisconnect: parseChoice(onDisconnect) }),
    ...(Object.keys(limits).length > 0 && { limits }),
  };
}

/** Reads `name=value`. Throws `invalid_input`. */
export function parseLabel(text: string): [name: string, value: string] {
  const equals = text.indexOf("=");
  if (equals < 1)
    throw new AppError("invalid_input", `Cannot read label "${text.slice(0, 200)}": write name=value`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

/** Reads how long may pass from TERM to KILL, in milliseconds. Throws a `RangeError`. */
export function parseGrace(text: string): number {
  const grace = parseDuration(text);
  if (grace > MAX_GRACE) throw new RangeError(`Cannot wait "${text}" for a job to end: the most is 1h`);
  return grace;
}

function toLimits(values: CliValues): JobLimits {
  const entries = Object.entries({
    execMs: read(values, "max-exec-time", parseLimit(parseDuration)),
    idleMs: read(values, "idle-timeout", parseLimit(parseDuration)),
    outputBytes: read(values, "max-output", parseLimit(parseSize)),
    memoryBytes: read(values, "max-memory", parseLimit(parseSize)),
    processes: read(values, "max-processes", parseLimit(parseWhole)),
    nice: read(values, "nice", parseNice),
    graceMs: read(values, "grace", parseGrace),
  });
  return Object.fromEntries(entries.filter(([, limit]) => limit !== undefined));
}

function read<T>(
  values: CliValues,
  option: string,
  parse: (text: string, option: string) => T,
): T | undefined {
  const text = values.text(option);
  return text === undefined ? undefined : parse(text, `--${option}`);
}

/** A limit of nothing would end every job at once. */
function parseLimit(parse: (text: string, option: string) => number) {
  return (text: string, option: string): number => {
    const limit = parse(text, option);
    if (limit === 0) throw refused(option, text, "a limit is more than nothing");
    return limit;
  };
}

function parseWhole(text: string, option: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw refused(option, text, "write a whole number");
}

function parseNice(text: string, option: string): number {
  if (/^[+-]?\d{1,2}$/.test(text) && Number(text) >= -20 && Number(text) <= 19) return Number(text);
  throw refused(option, text, "write a whole number from -20 to 19");
}

function parseChoice(text: string): "keep" | "kill" {
  if (text === "keep" || text === "kill") return text;
  throw refused("--on-disconnect", text, "choose keep or kill");
}

function parseInfo(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw refused("--info", text, toMessage(error));
  }
}

function refused(option: string, text: string, why: string): AppError {
  return new AppError("invalid_input", `Cannot use ${option} "${text.slice(0, 200)}": ${why}`);
}
