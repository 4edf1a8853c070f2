import { dlopen, ptr } from "bun:ffi";
import { readdir } from "node:fs/promises";
import { turn } from "../lib/abort.ts";
import { formatGroups } from "../lib/address.ts";
import { openLinuxLibrary } from "./libc.ts";

/** Descriptors that are looked at before others have their turn: a millisecond's worth. */
const SLICE = 256;

/** A TCP connection that this process has accepted. */
export interface Accepted {
  readonly fd: number;
  /** The address at the other end as `toCanonicalAddress` writes it, a space, and the port there. */
  readonly peer: string;
}

/** The TCP connections of this process, also those that its runtime has not told it of yet. */
export interface Sockets {
  /** Those that came in on one of these ports. */
  list(ports: ReadonlySet<number>): Promise<Accepted[]>;
  /** Ends one, both ways; nothing if it has ended meanwhile. */
  end(accepted: Accepted): void;
}

/** Undefined where the system offers no way to them that was tried. */
export function openSockets(): Sockets | undefined {
  switch (process.platform) {
    case "linux":
      return createSockets(openLinuxLibrary(SYMBOLS).symbols, LINUX);
    case "darwin":
      return createSockets(dlopen("libSystem.B.dylib", SYMBOLS).symbols, DARWIN);
    default:
      return undefined;
  }
}

const SYMBOLS = {
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  getpeername: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  shutdown: { args: ["i32", "i32"], returns: "i32" },
} as const;
type Calls = ReturnType<typeof openLinuxLibrary<typeof SYMBOLS>>["symbols"];

interface Platform {
  /** Where our own descriptors are listed. */
  readonly directory: string;
  /** Reads the family off a `sockaddr`. */
  readonly family: (address: DataView) => number;
  readonly inet: number;
  readonly inet6: number;
}

const LINUX: Platform = {
  directory: "/proc/self/fd",
  family: (address) => address.getUint16(0, true),
  inet: 2,
  inet6: 10,
};
// A byte of length comes first, and then one of the family.
const DARWIN: Platform = {
  directory: "/dev/fd",
  family: (address) => address.getUint8(1),
  inet: 2,
  inet6: 30,
};

const ADDRESS_BYTES = 28;
const SHUT_RDWR = 2;
/** Descriptors that are tried where they cannot be listed, because there is none left to list them with. */
const MANY = 65_536;

function createSockets(calls: Calls, { directory, family, inet, inet6 }: Platform): Sockets {
  // Each has a buffer of its own before its address is taken: memory that moves later must not be written to.
  const address = new DataView(new ArrayBuffer(ADDRESS_BYTES));
  const length = new Uint32Array(new ArrayBuffer(4));
  const [addressAt, lengthAt] = [ptr(address), ptr(length)];
  const read = (call: "getsockname" | "getpeername", fd: number): boolean => {
    length[0] = ADDRESS_BYTES;
    if (calls[call](fd, addressAt, lengthAt) !== 0) return false;
    return family(address) === inet || family(address) === inet6;
  };
  const find = (fd: number, ports: ReadonlySet<number>): Accepted | undefined => {
    if (!read("getsockname", fd) || !ports.has(address.getUint16(2)) || !read("getpeername", fd))
      return undefined;
    const host = family(address) === inet ? toIPv4(address) : toIPv6(address);
    return { fd, peer: `${host} ${address.getUint16(2)}` };
  };
  return {
    async list(ports) {
      const found: Accepted[] = [];
      const fds = await listDescriptors(directory);
      for (const [index, fd] of fds.entries()) {
        if (index % SLICE === SLICE - 1) await turn();
        const accepted = find(fd, ports);
        if (accepted !== undefined) found.push(accepted);
      }
      return found;
    },
    end({ fd, peer }) {
      // The number may be another's by now.
      if (!read("getpeername", fd)) return;
      const host = family(address) === inet ? toIPv4(address) : toIPv6(address);
      if (`${host} ${address.getUint16(2)}` === peer) calls.shutdown(fd, SHUT_RDWR);
    },
  };
}

async function listDescriptors(directory: string): Promise<number[]> {
  try {
    return (await readdir(directory)).map(Number);
  } catch {
    return Array.from({ length: MANY }, (_, fd) => fd); // too many are open to list them
  }
}

function toIPv4(address: DataView): string {
  return [4, 5, 6, 7].map((at) => address.getUint8(at)).join(".");
}

function toIPv6(address: DataView): string {
  return formatGroups([8, 10, 12, 14, 16, 18, 20, 22].map((at) => address.getUint16(at)));
}
