import { invoke } from "../client/invoke.ts";
import { ping as command } from "../commands/ping.ts";
import { abortable, delay } from "../lib/abort.ts";
import { escapeControls } from "../lib/escape.ts";
import { parseDuration } from "../lib/duration.ts";
import { AppError } from "../protocol/error.ts";
import { type Arguments, parseCount } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** Measures round trips and answers 0 when every one came back. A server that falls silent is an error. */
export const ping: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  const count = parseCount("--count", values.text("count") ?? "4");
  const interval = parseDuration(values.text("interval") ?? "1s");
  if (count === 0) throw new AppError("invalid_input", "Cannot ping 0 times: the least is 1");
  await using session = await openSession(context);
  const { signal, globals, sinks } = context;
  const { agent } = await abortable(session.welcome, signal);
  const name = escapeControls(`${agent.name} ${agent.version}`);
  const times: number[] = [];
  while (times.length < count) {
    if (times.length > 0) await delay(interval, signal);
    const start = performance.now();
    await invoke(session, command, {}, signal);
    times.push(performance.now() - start);
    if (!globals.json) sinks.stdout.writeLine(`${name}: ${format(times.at(-1))} ms`);
  }
  const { min, median, max } = summarise(times);
  print(
    context,
    { count, times, min, median, max },
    () => `${count} round trips: min ${format(min)}, median ${format(median)}, max ${format(max)} ms`,
  );
  return 0;
}

function summarise(times: readonly number[]): { min: number; median: number; max: number } {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? 0;
  return { min: at(0), median: at(Math.floor(sorted.length / 2)), max: at(sorted.length - 1) };
}

function format(ms: number | undefined): string {
  return (ms ?? 0).toFixed(2);
}
