import { CString, dlopen, read, type Pointer } from "bun:ffi";
import { readFile, stat } from "node:fs/promises";
import { parsePasswd, type PasswdEntry } from "../passwd.ts";

/** The names of users and groups; undefined for one that the machine does not know. */
export interface Names {
  findUser(id: number): string | undefined;
  findGroup(id: number): string | undefined;
}

/** Knows who owns files, as things are. */
export interface Owners {
  names(): Promise<Names>;
}

/**
 * Linux: what /etc/passwd and /etc/group say. Users of a network directory have numbers only: asking for them may take as long
 * as the network does, while nothing else could be answered.
 */
export function openOwners(): Owners {
  if (process.platform === "win32")
    return toOwners({ findUser: () => undefined, findGroup: () => undefined });
  if (process.platform === "darwin") return toOwners(openDarwinNames());
  return new NameFiles();
}

function toOwners(names: Names): Owners {
  return { names: async () => names };
}

/** Milliseconds for which a file of names is taken for unchanged. */
const FRESH = 1_000;

/** /etc/passwd and /etc/group, read again when they have changed. */
class NameFiles implements Owners, Names {
  readonly #users = new NameFile("/etc/passwd");
  readonly #groups = new NameFile("/etc/group");
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<unknown> | undefined;

  async names(): Promise<Names> {
    if (performance.now() <= this.#lookedAt + FRESH) return this;
    this.#looking ??= Promise.all([this.#users.refresh(), this.#groups.refresh()]);
    await this.#looking;
    this.#looking = undefined;
    this.#lookedAt = performance.now();
    return this;
  }

  findUser = (id: number): string | undefined => this.#users.entries.get(id)?.name;
  findGroup = (id: number): string | undefined => this.#groups.entries.get(id)?.name;
}

/** A file of lines `name:…:id:…`. */
class NameFile {
  readonly #path: string;
  #changedAt = Number.NaN;
  entries: ReadonlyMap<number, PasswdEntry> = new Map();

  constructor(path: string) {
    this.#path = path;
  }

  async refresh(): Promise<void> {
    try {
      const { mtimeMs } = await stat(this.#path);
      if (mtimeMs !== this.#changedAt) this.entries = parsePasswd(await readFile(this.#path, "utf8"));
      this.#changedAt = mtimeMs;
    } catch {
      this.entries = new Map(); // a machine without the file names nobody
      this.#changedAt = Number.NaN;
    }
  }
}

/** macOS keeps its users in a directory of its own on the machine; the C library asks that, and answers at once. */
function openDarwinNames(): Names {
  const { symbols } = dlopen("libSystem.B.dylib", {
    getpwuid: { args: ["u32"], returns: "ptr" },
    getgrgid: { args: ["u32"], returns: "ptr" },
  });
  const users = new Map<number, string | undefined>();
  const groups = new Map<number, string | undefined>();
  return {
    findUser: (id) => remember(users, id, () => toName(symbols.getpwuid(id))),
    findGroup: (id) => remember(groups, id, () => toName(symbols.getgrgid(id))),
  };
}

function remember<V>(known: Map<number, V>, id: number, ask: () => V): V {
  const value = known.has(id) ? (known.get(id) as V) : ask();
  known.set(id, value);
  return value;
}

/** The first field of `struct passwd` and of `struct group` is a pointer to the name. */
function toName(entry: bigint | Pointer | null): string | undefined {
  if (entry === null) return undefined;
  return new CString(read.ptr(Number(entry) as Pointer, 0) as Pointer).toString();
}
