import { statfs } from "node:fs/promises";
import type { Mount, MountAccess, Usage } from "../../commands/access/mounts.ts";
import { abortable, after } from "../../lib/abort.ts";
import { escapeBytes } from "../../lib/escape.ts";
import type { Confinement } from "./confinement.ts";
import { refusal, toFailure } from "./failure.ts";
import { findLinuxMount, listLinuxMounts } from "./mounts-linux.ts";
import { attempt, type Room } from "./room.ts";
import { beginsWith, toPath, toSteps } from "./steps.ts";

/** Milliseconds for which a file system may keep us waiting; one over a network that is gone never answers. */
const PATIENCE = 5_000;

const HERE = Buffer.from(".");

/** How a system tells of its mounts. */
export interface MountTable {
  list(): Promise<readonly Mount[]>;
  /** Rejects as the system refuses the path. */
  find(absolute: Buffer): Promise<Mount>;
}

/** What calls know of mounts together: who does not answer is asked once, and not by every call that comes. */
export class Mounts {
  readonly #asked = new Map<string, Promise<Usage>>();
  #table: Promise<MountTable> | undefined;

  table(): Promise<MountTable> {
    return (this.#table ??= openTable());
  }

  async measure({ path }: Mount, signal: AbortSignal): Promise<Usage> {
    const silent = new AbortController();
    const late = `Cannot measure "${escapeBytes(path)}": it has not answered for ${PATIENCE / 1_000} s (ETIMEDOUT)`;
    using _timer = after(PATIENCE, () => silent.abort(refusal("ETIMEDOUT", late, path)));
    try {
      return await abortable(this.#ask(Buffer.from(path)), AbortSignal.any([silent.signal, signal]));
    } catch (error) {
      throw toFailure("measure", path, error);
    }
  }

  #ask(path: Buffer): Promise<Usage> {
    const key = path.toString("latin1");
    const asked = this.#asked.get(key) ?? measure(path).finally(() => this.#asked.delete(key));
    this.#asked.set(key, asked);
    return asked;
  }
}

/** Everything by which calls learn of mounts. */
export function createMountAccess(room: Room): MountAccess {
  const { mounts } = room;
  return {
    listMounts: async () => {
      const table = await mounts.table();
      return await (room.confinement === undefined ? table.list() : listConfined(table, room.confinement));
    },
    findMount: async (path) => {
      const table = await mounts.table();
      return await attempt(room, "look at", path, (absolute) => findMount(table, room, absolute));
    },
    measureMount: (mount, signal) => mounts.measure(mount, signal),
  };
}

async function findMount(table: MountTable, { confinement }: Room, absolute: Buffer): Promise<Mount> {
  if (confinement === undefined) return await table.find(absolute);
  await using place = await confinement.openEnd(absolute);
  const isDirectory = (await place.get()).isDirectory();
  if (!isDirectory) return await table.find(place.folder.at(HERE));
  await using folder = await place.folder.enter(place.name);
  return await table.find(folder.at(HERE));
}

/** Those in which the roots lie, and those in the roots. */
async function listConfined(table: MountTable, confinement: Confinement): Promise<readonly Mount[]> {
  const roots = (await confinement.roots()).map(({ steps }) => steps);
  const [all, ...around] = await Promise.all([
    table.list(),
    ...roots.map((root) => table.find(toPath(root)).catch(() => undefined)), // it is gone meanwhile
  ]);
  const isAround = ({ path }: Mount) => around.some((mount) => mount && Buffer.from(path).equals(mount.path));
  const isInside = ({ path }: Mount) => roots.some((root) => beginsWith(toSteps(path), root));
  return all.filter((mount) => isAround(mount) || isInside(mount));
}

async function measure(path: Buffer): Promise<Usage> {
  const { bsize, blocks, bfree, bavail } = await statfs(path);
  return { size: blocks * bsize, used: (blocks - bfree) * bsize, available: bavail * bsize };
}

async function openTable(): Promise<MountTable> {
  if (process.platform === "darwin") return (await import("./mounts-darwin.ts")).openDarwinMounts();
  if (process.platform === "win32") return (await import("./mounts-windows.ts")).openWindowsMounts();
  return { list: listLinuxMounts, find: findLinuxMount };
}
