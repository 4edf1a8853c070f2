import { ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import type { TerminalSize } from "../protocol/terminal.ts";
import { openLinuxLibrary } from "./libc.ts";
import { StartError } from "./program.ts";

/** The two ends of a terminal that programs write to and people do not sit at. */
export interface Pty {
  /** Ours: what is read here was written to the terminal, what is written here was typed. It never blocks. */
  readonly master: number;
  /** Another descriptor of the same, for writing. */
  readonly keyboard: number;
  /** The program's. */
  readonly slave: number;
}

/** The calls that terminals need. Linux only. */
export interface PtyCalls {
  /** Throws a `StartError` where there is none left. */
  open(size: TerminalSize): Pty;
  /** What is typed there for the end of input, as things are. */
  endOfFile(master: number): Uint8Array;
  /** The programs on it are told by SIGWINCH. */
  resize(master: number, size: TerminalSize): void;
  /** Bytes that a read of this end would find. */
  pending(master: number): number;
}

// Numbers are those of Linux's generic ABI, which x86-64 and arm64 share.
const O_RDWR = 2;
const O_NOCTTY = 0o400;
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const TIOCSWINSZ = 0x5414n;
const FIONREAD = 0x541bn;
const POLLIN = 1;
const IUTF8 = 0o40000;
const TERMIOS_BYTES = 60;
/** Where the character for the end of input stands in there. */
const VEOF_OFFSET = 21;
const NAME_BYTES = 64;

/** Opened with the first terminal: most keepers never have one. */
export function openPtyCalls(): PtyCalls {
  const { symbols } = openLinuxLibrary({
    posix_openpt: { args: ["i32"], returns: "i32" },
    grantpt: { args: ["i32"], returns: "i32" },
    unlockpt: { args: ["i32"], returns: "i32" },
    ptsname_r: { args: ["i32", "ptr", "u64"], returns: "i32" },
    ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    tcgetattr: { args: ["i32", "ptr"], returns: "i32" },
    tcsetattr: { args: ["i32", "i32", "ptr"], returns: "i32" },
    poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  });
  const held = new Int32Array(1);
  const polled = new Int32Array(2);
  const cells = new Uint16Array(4);
  const resize = (master: number, { columns, rows }: TerminalSize) => {
    cells.set([rows, columns]);
    symbols.ioctl(master, TIOCSWINSZ, ptr(cells));
  };
  const openSlave = (master: number) => {
    const name = Buffer.alloc(NAME_BYTES);
    const isReady = symbols.grantpt(master) === 0 && symbols.unlockpt(master) === 0;
    if (!isReady || symbols.ptsname_r(master, ptr(name), BigInt(NAME_BYTES)) !== 0) throw unavailable();
    return openSync(name.toString("latin1", 0, name.indexOf(0)), O_RDWR | O_NOCTTY);
  };
  /** So that erasing a character in the terminal's own line editing erases all its bytes. */
  const setUtf8 = (slave: number) => {
    const modes = new Uint32Array(TERMIOS_BYTES / 4);
    if (symbols.tcgetattr(slave, ptr(modes)) !== 0) return;
    modes[0] = (modes[0] ?? 0) | IUTF8;
    symbols.tcsetattr(slave, 0, ptr(modes));
  };
  return {
    open(size) {
      const master = symbols.posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
      if (master < 0) throw unavailable();
      try {
        resize(master, size);
        const slave = openSlave(master);
        setUtf8(slave);
        symbols.fcntl(master, F_SETFL, O_NONBLOCK);
        const keyboard = symbols.fcntl(master, F_DUPFD_CLOEXEC, 0);
        if (keyboard >= 0) return { master, keyboard, slave };
        closeSync(slave);
        throw unavailable();
      } catch (error) {
        closeSync(master);
        throw error;
      }
    },
    endOfFile(master) {
      const modes = new Uint8Array(TERMIOS_BYTES);
      symbols.tcgetattr(master, ptr(modes));
      return modes.slice(VEOF_OFFSET, VEOF_OFFSET + 1);
    },
    resize,
    pending(master) {
      // Only looking for input makes the kernel bring over what was written just now.
      polled.set([master, POLLIN]);
      symbols.poll(ptr(polled), 1n, 0);
      return symbols.ioctl(master, FIONREAD, ptr(held)) === 0 ? (held[0] as number) : 0;
    },
  };
}

function unavailable(): StartError {
  return new StartError("start_failed", "Cannot open a terminal: the system has none left, or no /dev/pts");
}
