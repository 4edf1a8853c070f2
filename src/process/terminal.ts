import { closeSync, fchownSync, fstatSync } from "node:fs";
import type { TerminalSize } from "../protocol/terminal.ts";
import { type HostTerminal, openHostTerminal } from "./host-terminal.ts";
import type { Launcher } from "./launcher.ts";
import type { Libc } from "./libc.ts";
import { type InputPipe, openInput, openOutput } from "./pipe.ts";
import { openPtyCalls } from "./pty.ts";
import type { Child, SpawnOptions } from "./spawn.ts";
import { exitOf, findInheritedRss, start, startLauncher, startWrapped } from "./start.ts";

/** What is typed for the end of input where that cannot be asked: Ctrl-D. */
const END_OF_FILE = Uint8Array.of(4);

/** Starts a program on a terminal of its own, which is its stdin, stdout and stderr. Throws a `StartError`. */
export function spawnOnTerminal(
  file: string,
  options: SpawnOptions & { readonly terminal: TerminalSize },
): Child {
  const { libc, launcher } = options;
  return libc === undefined || launcher === undefined
    ? spawnOnHostTerminal(file, options)
    : spawnOnPty(file, { ...options, libc, launcher });
}

type PtyOptions = SpawnOptions & {
  readonly terminal: TerminalSize;
  readonly libc: Libc;
  readonly launcher: Launcher;
};

/** On a terminal of our own: what is not read stays in the kernel, and its program waits. */
function spawnOnPty(file: string, options: PtyOptions): Child {
  const { libc, terminal, user } = options;
  const calls = openPtyCalls();
  const { master, keyboard, slave } = calls.open(terminal);
  const opened = [master, keyboard, slave];
  const pipe = () => {
    const [read, write] = libc.pipe();
    opened.push(read, write);
    return { read, write };
  };
  try {
    // As login(1) does; the group is that of all terminals.
    if (user !== undefined) fchownSync(slave, user.uid, fstatSync(slave).gid);
    const { child, keep, conclude } = startLauncher(file, options, [slave, slave, slave], { libc, pipe });
    const ours = [master, keyboard, ...keep];
    for (const fd of opened.splice(0)) if (!ours.includes(fd)) closeSync(fd);
    // In this order: once Bun writes to a terminal, it takes its other end for a file that can be sought in.
    const stdout = openOutput(Bun.file(master).stream(), { number: master, pending: calls.pending });
    return {
      pid: child.pid,
      stdin: { ...openInput(keyboard), endOfFile: () => calls.endOfFile(master) },
      stdout,
      stderr: undefined,
      pipes: [],
      terminal: { canWait: true, resize: (size) => calls.resize(master, size) },
      exited: exitOf(child, findInheritedRss(), conclude),
    };
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error;
  }
}

/** On one of Bun's, where we can make none: what it says comes at its own pace. */
function spawnOnHostTerminal(
  file: string,
  options: SpawnOptions & { readonly terminal: TerminalSize },
): Child {
  const begin = options.user === undefined ? start : startWrapped;
  const host = openHostTerminal(options.terminal, (terminal) => begin(file, options, terminal));
  return {
    pid: host.child.pid,
    stdin: { ...toKeyboard(host), endOfFile: () => END_OF_FILE },
    stdout: openOutput(host.output),
    stderr: undefined,
    pipes: [],
    terminal: { canWait: false, resize: ({ columns, rows }) => host.terminal.resize(columns, rows) },
    exited: exitOf(host.child, 0),
  };
}

function toKeyboard(host: HostTerminal): Omit<InputPipe, "endOfFile"> {
  return { write: (bytes) => host.write(bytes), end: () => host.terminal.close() };
}
