/** What a call of a module's finds around it. */
export interface Around {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly umask: number;
}

/** Makes these the whole process's, and so of what it starts. Throws the system's error for a directory that cannot be entered. */
export function surround({ cwd, env, umask }: Around): void {
  process.chdir(cwd);
  process.umask(umask);
  for (const name of Object.keys(process.env)) if (!Object.hasOwn(env, name)) delete process.env[name];
  for (const [name, value] of Object.entries(env)) process.env[name] = value;
}

/** Bun starts programs with the environment of its own start, unless it is told another: from now on with what is there by then. */
export function inheritEnvironment(): void {
  // Of all that these two take, only the environment is looked at.
  const bun = Bun as unknown as Record<"spawn" | "spawnSync", (...args: readonly unknown[]) => unknown>;
  const complete = (options: unknown) => ({ env: process.env, ...(options as object | undefined) });
  for (const name of ["spawn", "spawnSync"] as const) {
    const start = bun[name];
    bun[name] = (first, options) =>
      Array.isArray(first) ? start(first, complete(options)) : start(complete(first));
  }
}
