import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../src/protocol/error.ts";
import type { World } from "./world.ts";

/** A task that counts, and does what it is told on the way. */
export const COUNTER = `
  import { defineTask } from "farhand";
  const wait = (ms, signal) => new Promise((resolve) => {
    const timer = setTimeout(resolve, signal.aborted ? 0 : ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
  });
  export default defineTask({
    init: (context, args) => ({ count: args?.from ?? 0, log: [] }),
    async exec(context, state, args) {
      state.count++;
      if (args?.note !== undefined) state.log.push(args.note);
      if (args?.save) await context.save(state);
      if (args?.hold) await wait(args.hold, context.signal);
      if (args?.throw) throw new RangeError(args.throw);
      if (args?.code !== undefined) process.exit(args.code);
      if (args?.spin) for (;;);
      if (!args?.mute) context.respond(args?.echo ? args.echo : args?.log ? state.log : state.count);
      if (args?.twice) context.respond(2);
      return state;
    },
    exit(context, state, args) {
      if (args?.throw) throw new RangeError(args.throw);
      context.respond({ count: state.count, args });
    },
  });
`;

/** Writes a module into a world's home, and answers its path. */
export function writeModule(world: World, name: string, text: string): string {
  const path = join(world.home, name);
  writeFileSync(path, text);
  return path;
}

/** As what a call was refused. */
export async function codeOf(asked: Promise<unknown>): Promise<string> {
  const error: unknown = await asked.then(
    (answer) => new Error(`It was answered: ${JSON.stringify(answer)}`),
    (error: unknown) => error,
  );
  if (error instanceof AppError || (error instanceof Error && "code" in error)) return String(error.code);
  throw error;
}
