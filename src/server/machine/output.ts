import { AppError } from "../../protocol/error.ts";

/** What a program of the system writes. Throws `os_error` when it fails, and the signal's reason. */
export async function readOutput(argv: readonly string[], signal: AbortSignal): Promise<Buffer> {
  const child = Bun.spawn([...argv], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    env: { ...process.env, LC_ALL: "C" },
    signal,
  });
  const [output] = await Promise.all([child.stdout.bytes(), child.exited]);
  signal.throwIfAborted();
  if (child.exitCode === 0) return Buffer.from(output);
  const how = child.signalCode ?? `exit code ${child.exitCode}`;
  throw new AppError("os_error", `Cannot ask the system: ${argv[0]} ended with ${how}`);
}
