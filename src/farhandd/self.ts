/** How this executable is run again: on Linux by a path that also works when its file was replaced meanwhile. */
export function toSelf(...args: string[]): { argv: readonly string[]; argv0: string } {
  const { execPath } = process;
  const program = isCompiled() && process.platform === "linux" ? "/proc/self/exe" : execPath;
  return { argv: [program, ...(isCompiled() ? [] : [Bun.main]), ...args], argv0: toPath(execPath) };
}

export function isCompiled(): boolean {
  return Bun.main.startsWith("/$bunfs/") || Bun.main.startsWith("B:/~BUN/");
}

/** Where an executable lies, also after another took its place. */
export function toPath(execPath: string): string {
  return execPath.replace(/ \(deleted\)$/, "");
}
