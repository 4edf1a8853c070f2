import { ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import type { TerminalSize } from "../protocol/terminal.ts";
import { openLinuxLibrary } from "./libc.ts";
import type { InputPipe } from "./pipe.ts";
import { errorCode, StartError } from "./program.ts";

// Linux's numbers, the same on x86-64 and arm64.
const O_RDWR = 2;
const O_NOCTTY = 0o400;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const TIOCSWINSZ = 0x5414;
const FIONREAD = 0x541b;
const POLLIN = 1;
const IUTF8 = 0o40000;
const TERMIOS_BYTES = 60;
/** Where the character lies by which a terminal is told that input ends. */
const VEOF_OFFSET = 21;

const NEWLINE = 0x0a;

/** A pseudo-terminal of ours. Linux only. */
export interface Pty {
  /** The end that we read, and the program's, which is to be closed once that runs. */
  readonly master: number;
  readonly slave: number;
  /** Bytes that a read would find at once. */
  pending(fd: number): number;
  /** The program's group in the foreground is told by SIGWINCH where that changes anything. */
  resize(size: TerminalSize): void;
  /** What writes to it, by a descriptor of its own. */
  openInput(): InputPipe;
}

/** Opens a terminal of this size, in the modes that the system gives a new one, with UTF-8. Throws a `StartError`. */
export function openPty(size: TerminalSize): Pty {
  const calls = openCalls();
  const master = calls.posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) throw refused("none are left");
  try {
    const slave = openSlave(calls, master);
    const pty = toPty(calls, master, slave);
    calls.fcntl(master, F_SETFL, O_NONBLOCK);
    setUtf8(calls, slave);
    pty.resize(size);
    return pty;
  } catch (error) {
    closeSync(master);
    throw error instanceof StartError ? error : refused(errorCode(error));
  }
}

type Calls = ReturnType<typeof openCalls>;

function openCalls() {
  return openLinuxLibrary({
    posix_openpt: { args: ["i32"], returns: "i32" },
    grantpt: { args: ["i32"], returns: "i32" },
    unlockpt: { args: ["i32"], returns: "i32" },
    ptsname_r: { args: ["i32", "ptr", "u64"], returns: "i32" },
    ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
    tcgetattr: { args: ["i32", "ptr"], returns: "i32" },
    tcsetattr: { args: ["i32", "i32", "ptr"], returns: "i32" },
  }).symbols;
}

function openSlave(calls: Calls, master: number): number {
  const name = Buffer.alloc(64);
  if (calls.grantpt(master) !== 0 || calls.unlockpt(master) !== 0) throw refused("the system grants none");
  if (calls.ptsname_r(master, ptr(name), 64n) !== 0) throw refused("it has no name");
  return openSync(name.toString("latin1", 0, name.indexOf(0)), O_RDWR | O_NOCTTY);
}

/** So that erasing a character in the terminal's own line editing erases all its bytes. */
function setUtf8(calls: Calls, slave: number): void {
  const modes = new Uint32Array(TERMIOS_BYTES / 4);
  if (calls.tcgetattr(slave, ptr(modes)) !== 0) return;
  modes[0] = (modes[0] ?? 0) | IUTF8;
  calls.tcsetattr(slave, 0, ptr(modes));
}

function toPty(calls: Calls, master: number, slave: number): Pty {
  const held = new Int32Array(1);
  return {
    master,
    slave,
    pending(fd) {
      // What was written may be on its way to where it is counted; to poll(2) brings it there.
      const asked = new Int32Array([fd, POLLIN]);
      calls.poll(ptr(asked), 1n, 0);
      return calls.ioctl(fd, BigInt(FIONREAD), ptr(held)) === 0 ? (held[0] as number) : 0;
    },
    resize: ({ columns, rows }) =>
      void calls.ioctl(master, BigInt(TIOCSWINSZ), ptr(new Uint16Array([rows, columns, 0, 0]))),
    openInput: () => openTerminalInput(calls, calls.fcntl(master, F_DUPFD_CLOEXEC, 0)),
  };
}

/** The end of input is a character, of which a line that has begun needs two: the first only hands over that. */
function openTerminalInput(calls: Calls, fd: number): InputPipe {
  const sink = Bun.file(fd).writer();
  let isAtLineStart = true;
  let isOpen = true;
  const write = async (bytes: Uint8Array) => {
    await sink.write(bytes);
    await sink.flush();
  };
  return {
    async write(bytes) {
      if (bytes.length > 0) isAtLineStart = bytes.at(-1) === NEWLINE;
      await write(bytes);
    },
    async finish() {
      const modes = new Uint8Array(TERMIOS_BYTES);
      if (calls.tcgetattr(fd, ptr(modes)) !== 0) return;
      await write(new Uint8Array(isAtLineStart ? 1 : 2).fill(modes[VEOF_OFFSET] as number));
    },
    end() {
      if (!isOpen) return;
      isOpen = false;
      closeSync(fd);
      // What could not be written any more was reported by the write itself.
      Promise.resolve(sink.end()).catch(() => {});
    },
  };
}

function refused(why: string): StartError {
  return new StartError("start_failed", `Cannot open a terminal: ${why}`);
}
