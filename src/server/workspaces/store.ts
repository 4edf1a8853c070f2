import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { isDiskFull } from "../../lib/disk.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { quote } from "../../lib/quote.ts";
import { toMessage } from "../../lib/message.ts";
import { Environment } from "../../protocol/environment.ts";
import { AppError } from "../../protocol/error.ts";
import { FilePath } from "../../protocol/path.ts";
import { WorkspaceName } from "../../protocol/workspace.ts";

/** The version of the files. */
const FORMAT = 1;
/** Bytes of a file at most: the largest environment, every byte of it written as an escape. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const FILE = /^[0-9a-f]{64}\.json$/;

/** Whose a workspace is, and what he calls it. */
export interface WorkspaceId {
  readonly owner: string;
  readonly name: WorkspaceName;
}

/** What is kept of a workspace. */
const Contents = v.object({
  /** Absolute; without one, the home of the server's user. */
  cwd: v.optional(FilePath),
  /** The one before. */
  previous: v.optional(FilePath),
  /** Variables over the server's own, and those of its own that are not passed on. */
  set: Environment,
  unset: v.array(v.string()),
});
export type Contents = Readonly<v.InferOutput<typeof Contents>>;

const Kept = v.object({ owner: v.string(), name: WorkspaceName, ...Contents.entries });
const File = v.object({ format: v.number(), sha256: v.string(), workspace: v.unknown() });

export interface KeptWorkspace {
  readonly id: WorkspaceId;
  readonly contents: Contents;
  /** When it was last used or changed, as far as the file tells (ms of the wall clock). */
  readonly usedAt: number;
}

/**
 * The files that keep workspaces, one for each, in a directory of their own. Their names are digests, so that no user's or
 * workspace's name is ever a path.
 */
export class WorkspaceStore {
  readonly #directory: string;
  /** Files that cannot be used. They stay as they are. */
  readonly #faulty = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** All that can be used; to be called first. */
  load(log: Log): readonly KeptWorkspace[] {
    const kept: KeptWorkspace[] = [];
    for (const file of readdirSync(this.#directory)) {
      // One whose writing was cut short was never answered for.
      if (file.endsWith(".json.new")) rmSync(join(this.#directory, file), { force: true });
      if (!FILE.test(file)) continue;
      try {
        kept.push(this.#read(file));
      } catch (error) {
        this.#faulty.add(file);
        log.warn("workspace unusable", { file, error: describeError(error) });
      }
    }
    return kept;
  }

  /** Whether there is one of this name that could not be used. */
  isFaulty(id: WorkspaceId): boolean {
    return this.#faulty.size > 0 && this.#faulty.has(toFile(id));
  }

  /** One that could not be used and may have been mended meanwhile. Throws `state_unusable`, with what to do about it. */
  readAgain(id: WorkspaceId): KeptWorkspace {
    try {
      const kept = this.#read(toFile(id));
      this.#faulty.delete(toFile(id));
      return kept;
    } catch (error) {
      const why = toMessage(error);
      const remedy = `mend that, or give it up with farhand workspace remove ${id.name}`;
      throw new AppError(
        "state_unusable",
        `Cannot use workspace "${id.name}": its file "${this.toPath(id)}" ${why}; ${remedy}`,
        { cause: error },
      );
    }
  }

  /** Resolves once it is on the disk, whole; until then, and when it fails, what was there before stays. */
  async save(id: WorkspaceId, contents: Contents): Promise<void> {
    const path = this.toPath(id);
    try {
      const file = await open(`${path}.new`, "w", 0o600);
      try {
        await file.writeFile(encode(id, contents));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${path}.new`, path);
      await this.#sync();
    } catch (error) {
      await rm(`${path}.new`, { force: true }).catch(() => {}); // the next start removes it
      throw toRefusal(id, "keep", error);
    }
  }

  /** Resolves once its file is gone, if there was one. */
  async remove(id: WorkspaceId): Promise<void> {
    try {
      await rm(this.toPath(id), { force: true });
      await this.#sync();
      this.#faulty.delete(toFile(id));
    } catch (error) {
      throw toRefusal(id, "remove", error);
    }
  }

  /** Notes when it was last used (ms of the wall clock). */
  touch(id: WorkspaceId, usedAt: number): void {
    utimesSync(this.toPath(id), usedAt / 1_000, usedAt / 1_000);
  }

  toPath(id: WorkspaceId): string {
    return join(this.#directory, toFile(id));
  }

  /** Throws what is wrong, as the rest of a sentence. */
  #read(file: string): KeptWorkspace {
    const path = join(this.#directory, file);
    const { size, mtimeMs } = checkOwn(path);
    if (size > MAX_FILE_BYTES) throw new Error("is larger than any that farhandd writes");
    const { owner, name, ...contents } = decode(readFileSync(path, "utf8"));
    if (toFile({ owner, name }) !== file) throw new Error(`is a copy of that of workspace "${name}"`);
    return { id: { owner, name }, contents, usedAt: mtimeMs };
  }

  /** A name is in its directory for good only when that is synced as well. Windows needs and knows no such thing. */
  async #sync(): Promise<void> {
    if (process.platform === "win32") return;
    const directory = await open(this.#directory, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** The name of a workspace's file. */
export function toFile({ owner, name }: WorkspaceId): string {
  return `${sha256(`${owner}\0${name}`)}.json`;
}

function encode({ owner, name }: WorkspaceId, contents: Contents): string {
  const workspace = { owner, name, ...contents };
  return `${JSON.stringify({ format: FORMAT, sha256: sha256(JSON.stringify(workspace)), workspace })}\n`;
}

function decode(text: string): v.InferOutput<typeof Kept> {
  const file = v.safeParse(File, parseJson(text));
  if (!file.success) throw new Error("is none that farhandd wrote");
  const { format, workspace, sha256: digest } = file.output;
  if (format > FORMAT) throw new Error("was written by a newer farhandd");
  const kept = v.safeParse(Kept, workspace);
  if (format !== FORMAT || digest !== sha256(JSON.stringify(workspace)) || !kept.success)
    throw new Error("is damaged");
  return kept.output;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("is damaged");
  }
}

/** Whoever may write the file decides what others' programs run with. */
function checkOwn(path: string): { readonly size: number; readonly mtimeMs: number } {
  const found = lstatSync(path);
  if (!found.isFile()) throw new Error("is no file");
  const uid = process.getuid?.();
  if (uid === undefined) return found;
  if (found.uid !== uid) throw new Error(`belongs to user ${found.uid}, not ${uid}`);
  if ((found.mode & 0o077) !== 0)
    throw new Error(`may be read or changed by others: run chmod 600 ${quote(path)}`);
  return found;
}

function toRefusal({ name }: WorkspaceId, what: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const why = isDiskFull(error) ? "the disk of the state directory is full; make room" : error.message;
  const code = isDiskFull(error) ? "unavailable" : "state_unusable";
  return new AppError(code, `Cannot ${what} workspace "${name}": ${why}`, { cause: error });
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
