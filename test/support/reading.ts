import type { CommandContext } from "../../src/commands/context.ts";
import { Files } from "../../src/server/files/files.ts";
import { nothing } from "./files.ts";

/** The real files of a directory, and all of a context that a command which only looks at files may ask for. */
export function toFileContext(
  directory: string,
  signal: AbortSignal = new AbortController().signal,
): CommandContext {
  const files = new Files({ umask: 0o022, own: nothing }).access(Buffer.from(directory), signal);
  // Whatever else a command asks for is not there, and fails.
  return { files, signal } as CommandContext;
}

/** What a generator says, and what it answers in the end. */
export async function collect<E, R>(
  run: AsyncGenerator<E, R, void>,
): Promise<{ readonly said: readonly E[]; readonly result: R }> {
  const said: E[] = [];
  for (;;) {
    const { done, value } = await run.next();
    if (done) return { said, result: value };
    said.push(value);
  }
}
