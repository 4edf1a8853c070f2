import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import { KeeperId } from "../protocol/id.ts";

/** Bytes that a Unix socket's path may have on every system: 104 with its end on macOS, 108 on Linux. */
const MAX_SOCKET_PATH = 103;

/** Where a keeper's lock and socket are. */
export interface KeeperPlace {
  readonly id: KeeperId;
  readonly lock: string;
  readonly socket: string;
}

/** The place of one keeper under a state directory, whose `keeper` directory exists. */
export function openPlace(state: string, id: KeeperId): KeeperPlace {
  const directory = join(state, "keeper");
  const lock = join(directory, `${id}.lock`);
  const socket = join(directory, `${id}.sock`);
  if (Buffer.byteLength(socket) <= MAX_SOCKET_PATH) return { id, lock, socket };
  const short = openShortDirectory(state);
  writeFileSync(join(directory, `${id}.where`), short);
  return { id, lock, socket: join(short, `${id.slice(-12)}.sock`) };
}

/** Every keeper that left a trace under a state directory, dead or alive. */
export function listPlaces(state: string): KeeperPlace[] {
  return readdirSync(join(state, "keeper"))
    .filter((name) => name.endsWith(".lock"))
    .map((name) => v.safeParse(KeeperId, name.slice(0, -".lock".length)))
    .flatMap((id) => (id.success ? [openPlace(state, id.output)] : []));
}

/** Removes what a dead keeper left, or what this one leaves. */
export function removePlace(state: string, { id, lock, socket }: KeeperPlace): void {
  for (const path of [socket, lock, join(state, "keeper", `${id}.where`)]) rmSync(path, { force: true });
}

/** A private directory with a short path, the same for each use of this state directory. */
function openShortDirectory(state: string): string {
  const name = createHash("sha256").update(state).digest("hex").slice(0, 16);
  const uid = process.getuid?.() ?? 0;
  const directory = join(tmpdir(), `farhand-${uid}-${name}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const found = lstatSync(directory);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new AppError(
      "state_unusable",
      `Cannot use "${directory}" for a socket: it belongs to somebody else; remove it`,
    );
  }
  return directory;
}
