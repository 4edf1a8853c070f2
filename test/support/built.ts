import { Database } from "bun:sqlite";
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");
const dist = join(root, "dist");
const suffix = process.platform === "win32" ? ".exe" : "";

/** The compiled client that the tests run. */
export const FARHAND: string = join(dist, `farhand${suffix}`);

/** The compiled server that the tests run. */
export const FARHANDD: string = join(dist, `farhandd${suffix}`);

// Directories count too: their time changes when a file is deleted or renamed.
function changedAt(path: string): number {
  const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: 0 };
  return mtimeMs;
}

function newestSource(): number {
  const src = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).map((file) =>
    join("src", file),
  );
  return Math.max(
    ...["src", "build.ts", "package.json", "bun.lock", ...src].map((file) => changedAt(join(root, file))),
  );
}

function isFresh(): boolean {
  const newest = newestSource();
  return [FARHAND, FARHANDD].every((executable) => changedAt(executable) >= newest);
}

function build(): void {
  const command = [process.execPath, join(root, "build.ts")];
  const { success, stdout, stderr } = Bun.spawnSync(command, { cwd: root });
  if (!success) throw new Error(`Building the executables failed:\n${stdout}${stderr}`);
}

/** Builds the executables unless they are newer than every source. Of several callers at once, one builds. */
function ensureBuilt(): void {
  if (isFresh()) return;
  mkdirSync(dist, { recursive: true });
  // SQLite's lock is the kernel's: it goes with the process that holds it, however that ends.
  using lock = new Database(join(dist, ".building.db"));
  lock.run("PRAGMA busy_timeout = 300000");
  lock.run("BEGIN EXCLUSIVE");
  if (!isFresh()) build();
}

ensureBuilt();
