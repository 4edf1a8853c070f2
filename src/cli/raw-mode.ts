import { dlopen, ptr } from "bun:ffi";

/** The terminal that is our stdin. */
export interface LocalTerminal {
  /** Has every key reach us as it is typed, until disposed, or until this process ends. */
  enterRaw(): Disposable;
  /** Calls `take` with what is typed, as it comes. What is typed once it is paused or disposed is left for others. */
  listen(take: (bytes: Uint8Array) => void): Keyboard;
  /** Stops this process as Ctrl-Z does, in the modes that the terminal had before. Returns once it is continued. */
  suspend(): void;
  /** Calls `listener` when its size may have changed, until disposed. */
  onResize(listener: () => void): Disposable;
}

/** What reads the keys. */
export interface Keyboard extends Disposable {
  pause(): void;
  resume(): void;
}

/** Calls a listener with each signal of that name, until disposed. */
export type OnSignal = (name: NodeJS.Signals, listener: () => void) => Disposable;

/** Signals that end this process unless somebody looks after them, besides those that always are. */
const DEADLY = ["SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2"] as const;

/** The terminal that is our stdin, which must be one. */
export function openLocalTerminal(onSignal: OnSignal): LocalTerminal {
  return process.platform === "win32" ? openConsole(onSignal) : openTty(onSignal);
}

function openTty(onSignal: OnSignal): LocalTerminal {
  const modes = openTermios();
  let isRaw = false;
  let stops: Disposable | undefined;
  const enter = () => {
    modes.save();
    modes.raw();
    isRaw = true;
  };
  const restore = () => {
    if (isRaw) modes.restore();
    isRaw = false;
  };
  const suspend = () => {
    restore();
    // Without a listener it stops us where there is somebody to continue us, and does nothing elsewhere.
    stops?.[Symbol.dispose]();
    process.kill(process.pid, "SIGTSTP");
    stops = onSignal("SIGTSTP", suspend);
    enter();
  };
  return {
    enterRaw() {
      using stack = new DisposableStack();
      stack.defer(restore);
      process.on("exit", restore);
      stack.defer(() => void process.off("exit", restore));
      stops = onSignal("SIGTSTP", suspend);
      stack.defer(() => stops?.[Symbol.dispose]());
      // Whoever stopped and continued us otherwise may have set modes of his own meanwhile.
      stack.use(onSignal("SIGCONT", () => isRaw && modes.raw()));
      for (const name of DEADLY) stack.use(endBy(name, onSignal, restore));
      enter();
      return stack.move();
    },
    listen,
    suspend,
    onResize(listener) {
      using stack = new DisposableStack();
      for (const name of ["SIGWINCH", "SIGCONT"] as const) stack.use(onSignal(name, listener));
      return stack.move();
    },
  };
}

/** Ends this process as the signal has it, with the terminal in its old modes. */
function endBy(name: NodeJS.Signals, onSignal: OnSignal, restore: () => void): Disposable {
  const listening = onSignal(name, () => {
    restore();
    listening[Symbol.dispose]();
    process.kill(process.pid, name);
  });
  return listening;
}

/** A console of Windows has no termios, and nobody is suspended there. */
function openConsole(onSignal: OnSignal): LocalTerminal {
  return {
    enterRaw() {
      const restore = () => void process.stdin.setRawMode(false);
      process.stdin.setRawMode(true);
      process.on("exit", restore);
      return {
        [Symbol.dispose]() {
          process.off("exit", restore);
          restore();
        },
      };
    },
    listen,
    suspend() {},
    onResize: (listener) => onSignal("SIGWINCH", listener),
  };
}

/** By `process.stdin`, which is read no further than it is asked to, and which a console reads lines from as well. */
function listen(take: (bytes: Uint8Array) => void): Keyboard {
  const { stdin } = process;
  const ignore = () => {}; // the terminal is gone: SIGHUP tells what we are to do
  let isListening = true;
  stdin.on("data", take);
  stdin.on("error", ignore);
  stdin.resume();
  return {
    pause: () => void stdin.pause(),
    resume: () => void (isListening && stdin.resume()),
    [Symbol.dispose]() {
      isListening = false;
      stdin.off("data", take);
      stdin.off("error", ignore);
      stdin.pause();
    },
  };
}

/** What switches the terminal's modes. */
interface Modes {
  readonly save: () => void;
  readonly raw: () => void;
  readonly restore: () => void;
}

/** More than a termios takes on any system. */
const TERMIOS_BYTES = 256;
const TCSANOW = 0;

const LIBRARIES = {
  darwin: ["libSystem.B.dylib"],
  linux: ["libc.so.6", `libc.musl-${process.arch === "x64" ? "x86_64" : "aarch64"}.so.1`],
};

/** Bun's own raw mode goes on translating newlines in what is written, which garbles every program that moves the cursor. */
function openTermios(): Modes {
  const calls = openFirst(LIBRARIES[process.platform === "darwin" ? "darwin" : "linux"]);
  const before = new Uint8Array(TERMIOS_BYTES);
  return {
    save: () => void calls.tcgetattr(0, ptr(before)),
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
