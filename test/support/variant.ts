import { appendFileSync, cpSync, mkdirSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { openDirectory } from "./directory.ts";

const root = resolve(import.meta.dir, "../..");

/** Another build of these executables, as the next version is one: its sources differ by a comment. */
export function buildVariant(): Disposable & { readonly farhandd: string } {
  const directory = openDirectory();
  const source = join(directory.path, "source");
  mkdirSync(source);
  for (const name of ["src", "build.ts", "package.json", "bun.lock", "tsconfig.json"])
    cpSync(join(root, name), join(source, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(source, "node_modules"));
  appendFileSync(join(source, "src", "server.ts"), "\n// The next version.\n");
  const dist = join(directory.path, "dist");
  const command = [process.execPath, "build.ts", "--outdir", dist];
  const { success, stderr } = Bun.spawnSync(command, { cwd: source });
  if (!success) throw new Error(`Building a variant failed:\n${stderr}`);
  return { farhandd: join(dist, "farhandd"), [Symbol.dispose]: () => directory[Symbol.dispose]() };
}
