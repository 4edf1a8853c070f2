import { Bell } from "../lib/bell.ts";
import type { TerminalSize } from "../protocol/terminal.ts";

/** A program on a terminal as Bun makes it: the system's own, ConPTY on Windows. */
export interface HostTerminal {
  readonly child: Bun.Subprocess;
  readonly terminal: Bun.Terminal;
  /** What is written to it, to its end. It cannot be told to wait, so all must be read at once. */
  readonly output: ReadableStream<Uint8Array>;
  /** Resolves when the terminal has taken what was typed, or its program is gone; rejects after that. */
  write(bytes: Uint8Array): Promise<void>;
}

/** `spawn` starts the program on the terminal described: one that was open before would lose what it holds at the exit. */
export function openHostTerminal(
  { columns, rows }: TerminalSize,
  spawn: (terminal: Bun.TerminalOptions) => Bun.Subprocess,
): HostTerminal {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const drained = new Bell();
  let isOver = false;
  const ignore = () => {}; // nobody reads any more
  const child = spawn({
    cols: columns,
    rows,
    data: (_terminal, bytes) => void writer.write(new Uint8Array(bytes)).catch(ignore),
    exit() {
      isOver = true;
      drained.ring();
      writer.close().catch(ignore);
    },
    drain: () => drained.ring(),
  });
  const terminal = child.terminal as Bun.Terminal; // it was started on one
  return {
    child,
    terminal,
    output: readable,
    async write(bytes) {
      if (isOver) throw new Error("Cannot write to a terminal whose program has exited");
      const wait = drained.wait(); // before, since it may ring at once
      terminal.write(bytes);
      await wait;
    },
  };
}
