import { dlopen, ptr } from "bun:ffi";

/** More than a termios takes on any system. */
const TERMIOS_BYTES = 256;
const TCSANOW = 0;

/** The terminal that is our stdin. */
export interface LocalTerminal {
  /** Has every key reach us as it is typed, until disposed, or until this process ends. */
  enterRaw(): Disposable;
  /** Stops this process as Ctrl-Z does, in the modes that the terminal had before. Returns once it is continued. */
  suspend(): void;
  /** Calls `listener` when its size may have changed, until disposed. */
  onResize(listener: () => void): Disposable;
}

/** Calls a listener with each signal of that name, until disposed. */
export type OnSignal = (name: NodeJS.Signals, listener: () => void) => Disposable;

/** What switches the terminal's modes. */
interface Modes {
  readonly raw: () => void;
  readonly restore: () => void;
}

export function openLocalTerminal(onSignal: OnSignal): LocalTerminal {
  const modes = process.platform === "win32" ? openConsole() : openTermios();
  let isRaw = false;
  const enter = () => {
    isRaw = true;
    modes.raw();
  };
  const restore = () => {
    if (isRaw) modes.restore();
    isRaw = false;
  };
  const suspend = () => {
    restore();
    process.kill(process.pid, "SIGSTOP");
    enter();
  };
  return {
    enterRaw() {
      enter();
      process.on("exit", restore);
      const stopping = process.platform === "win32" ? undefined : onSignal("SIGTSTP", suspend);
      return {
        [Symbol.dispose]() {
          stopping?.[Symbol.dispose]();
          process.off("exit", restore);
          restore();
        },
      };
    },
    suspend,
    onResize: (listener) => onSignal("SIGWINCH", listener),
  };
}

/** Bun's own raw mode goes on translating newlines in what is written, which garbles every program that moves the cursor. */
function openTermios(): Modes {
  const arch = process.arch === "x64" ? "x86_64" : "aarch64";
  const names = {
    darwin: ["libSystem.B.dylib"],
    linux: ["libc.so.6", `libc.musl-${arch}.so.1`],
  }[process.platform === "darwin" ? "darwin" : "linux"];
  const calls = openFirst(names);
  const before = new Uint8Array(TERMIOS_BYTES);
  calls.tcgetattr(0, ptr(before));
  return {
    raw() {
      const raw = before.slice();
      calls.cfmakeraw(ptr(raw));
      calls.tcsetattr(0, TCSANOW, ptr(raw));
    },
    restore: () => void calls.tcsetattr(0, TCSANOW, ptr(before)),
  };
}

function openFirst([name = "", ...others]: readonly string[]) {
  try {
    return dlopen(name, {
      tcgetattr: { args: ["i32", "ptr"], returns: "i32" },
      tcsetattr: { args: ["i32", "i32", "ptr"], returns: "i32" },
      cfmakeraw: { args: ["ptr"], returns: "void" },
    }).symbols;
  } catch (error) {
    if (others.length === 0) throw error;
    return openFirst(others);
  }
}

/** A console of Windows has no termios. */
function openConsole(): Modes {
  return {
    raw: () => void process.stdin.setRawMode(true),
    restore: () => void process.stdin.setRawMode(false),
  };
}
