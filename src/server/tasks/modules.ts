import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import type { ModuleUpload } from "../../commands/access/tasks.ts";
import { MAX_UNUSED_MODULE_BYTES } from "../../protocol/limits.ts";
import { AppError } from "../../protocol/error.ts";
import { ModuleHash } from "../../protocol/task.ts";
import { isDraft, writeWhole } from "./whole-file.ts";

/** The bundles of tasks, each a file of its hash's name. */
export class Modules {
  readonly #directory: string;
  /** Those that some task uses, which are never removed. */
  readonly #listUsed: () => readonly ModuleHash[];

  constructor(directory: string, listUsed: () => readonly ModuleHash[]) {
    this.#directory = directory;
    this.#listUsed = listUsed;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(directory))
      if (isDraft(name)) rmSync(join(directory, name), { force: true });
  }

  /** Keeps a bundle, and answers whether it was there already. Throws `invalid_input` where it is not what its hash says. */
  async keep({ hash, bytes }: ModuleUpload, content: AsyncIterable<Uint8Array>): Promise<boolean> {
    if (await this.#touch(hash)) return true;
    await writeWhole(this.#toPath(hash), check({ hash, bytes }, content), "the module");
    this.#prune(hash);
    return false;
  }

  /** Throws `unknown_module` for one that is not there, or is damaged, which whoever has it may then send again. */
  async read(hash: ModuleHash): Promise<Uint8Array> {
    const source = await Bun.file(this.#toPath(hash))
      .bytes()
      .catch(() => undefined);
    if (source !== undefined && toHash(source) === hash) return source;
    if (source !== undefined) await rm(this.#toPath(hash), { force: true });
    throw new AppError(
      "unknown_module",
      `Cannot find module ${hash}: it was never sent, or has been removed`,
    );
  }

  /** Bytes that it takes; 0 for one that is not there. */
  measure(hash: ModuleHash): number {
    return statSync(this.#toPath(hash), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** It was wanted now: others go first. False for one that is not there. */
  async #touch(hash: ModuleHash): Promise<boolean> {
    const now = new Date();
    return await utimes(this.#toPath(hash), now, now).then(
      () => true,
      () => false,
    );
  }

  /** Those that nobody uses go, the oldest first, as long as they take too much. */
  #prune(newest: ModuleHash): void {
    const used = new Set(this.#listUsed());
    let bytes = 0;
    for (const { name, size } of this.#listByAge()) {
      if (name === newest || used.has(name)) continue;
      bytes += size;
      if (bytes > MAX_UNUSED_MODULE_BYTES) rmSync(this.#toPath(name), { force: true });
    }
  }

  /** The newest first. */
  #listByAge(): readonly { readonly name: ModuleHash; readonly size: number }[] {
    return readdirSync(this.#directory)
      .flatMap((file) => {
        const name = v.safeParse(ModuleHash, file);
        const status = statSync(join(this.#directory, file), { throwIfNoEntry: false });
        return name.success && status ? [{ name: name.output, size: status.size, at: status.mtimeMs }] : [];
      })
      .toSorted((one, other) => other.at - one.at);
  }

  #toPath(hash: ModuleHash): string {
    return join(this.#directory, hash);
  }
}

/** The same bytes, if they are what they are said to be when they end. */
async function* check(
  { hash, bytes }: ModuleUpload,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const hasher = new Bun.CryptoHasher("sha256");
  let taken = 0;
  for await (const chunk of content) {
    taken += chunk.length;
    if (taken > bytes) throw refuse(`more than ${bytes} bytes came`);
    hasher.update(chunk);
    yield chunk;
  }
  if (taken < bytes) throw refuse(`${bytes} bytes were announced, and ${taken} came`);
  if (hasher.digest("hex") !== hash) throw refuse("what came has another hash");
}

function toHash(source: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(source).digest("hex");
}

function refuse(why: string): AppError {
  return new AppError("invalid_input", `Cannot keep the module: ${why}`);
}
