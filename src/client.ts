import { findIgnored, INTERRUPTS, Interrupts } from "./cli/interrupts.ts";
import { main } from "./cli/main.ts";
import { Sink } from "./cli/sink.ts";

// Nothing here heeds it, and Bun would warn on stderr that everything does.
delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];

const interrupts = new Interrupts();
const running = main(process.argv.slice(2), {
  env: process.env,
  sinks: {
    stdout: new Sink("stdout", () => Bun.stdout.writer()),
    stderr: new Sink("stderr", () => Bun.stderr.writer()),
  },
  stdin: () => Bun.stdin.stream(),
  interrupts,
  hasColors: (stream) => Bun.enableANSIColors && process[stream].isTTY === true,
  isStderrTerminal: () => process.stderr.isTTY === true,
  screen: findScreen,
  terminal: findTerminal,
  localTerminal: findLocalTerminal,
});
// Once it is on its way: a short command should not wait for this.
const ignored = findIgnored();
INTERRUPTS.forEach((name) => {
  if (!ignored.includes(name)) process.on(`SIG${name}`, () => interrupts.raise(name));
});

const code = await running;
// All output is written; a pending read of a stdin that stays open must not hold us up.
process.exit(code);

async function findLocalTerminal() {
  const { isatty } = await import("node:tty"); // which a cold start need not pay for
  if (!isatty(0)) return undefined;
  const { openLocalTerminal } = await import("./cli/raw-mode.ts");
  return openLocalTerminal((name, listener) => {
    process.on(name, listener);
    return { [Symbol.dispose]: () => void process.off(name, listener) };
  });
}

function findTerminal() {
  const { stdin, stdout } = process;
  return stdin.isTTY && stdout.isTTY ? { input: stdin, output: stdout } : undefined;
}

/** Bun tells the size that a terminal had at first until it is asked to look again. */
function findScreen() {
  const { stdout } = process;
  if (!stdout.isTTY) return undefined;
  if ("_refreshSize" in stdout && typeof stdout._refreshSize === "function") stdout._refreshSize();
  return { columns: stdout.columns, rows: stdout.rows };
}
