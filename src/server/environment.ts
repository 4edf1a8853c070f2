/** The environment that jobs and keepers inherit: the server's own, less what steers Bun or Farhand itself. */
export function toJobEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value === undefined || /^(?:BUN|FARHAND)_/i.test(name) ? [] : [[name, value] as const],
    ),
  );
}

/** The argv by which this system runs a command line. */
export function toShell(line: string): readonly string[] {
  return process.platform === "win32" ? ["cmd.exe", "/d", "/s", "/c", line] : ["/bin/sh", "-c", line];
}
