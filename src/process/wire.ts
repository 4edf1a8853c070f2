import { closeSync } from "node:fs";
import type { Again } from "./again.ts";
import { toInputPipe } from "./attached.ts";
import type { Libc } from "./libc.ts";
import { type InputPipe, openInput, openOutput, type OutputPipe } from "./pipe.ts";

/**
 * Where a runner is told what to do, and says what came of it. Its stdout and stderr are its modules' own, and one pipe. Windows gives
 * a process three pipes only: there stdout is the wire, and stderr alone is left.
 */
const [ORDERS, ANSWERS] = process.platform === "win32" ? [0, 1] : [3, 4];
const PATH = "/usr/local/bin:/usr/bin:/bin";

/** A process of this executable, with our ends of its pipes. */
export interface Wired {
  readonly child: Bun.Subprocess;
  readonly orders: InputPipe;
  readonly answers: OutputPipe;
  /** What it prints. */
  readonly printed: OutputPipe;
}

export interface WireOptions {
  /** Absent on Windows. */
  readonly libc: Libc | undefined;
  /** Whether it does what others have written, and may flood. */
  readonly isForeign: boolean;
}

/** Starts one, in a session of its own, which has nothing of us but these pipes. */
export function spawnWired({ argv, argv0 }: Again, { libc, isForeign }: WireOptions): Wired {
  const options = { argv0, cwd: "/", env: { PATH }, detached: true } as const;
  if (libc === undefined) return spawnOnStreams(argv);
  const opened: number[] = [];
  const pipe = () => {
    const ends = libc.pipe();
    opened.push(...ends);
    return ends;
  };
  const ours: number[] = [];
  try {
    const [[orders, ourOrders], [ourAnswers, answers], [ourPrinted, printed]] = [pipe(), pipe(), pipe()];
    const child = Bun.spawn([...argv], { ...options, stdio: ["ignore", printed, printed, orders, answers] });
    ours.push(ourOrders, ourAnswers, ourPrinted);
    const read = (fd: number, size?: "small") => {
      libc.prepareReading(fd, size);
      return openOutput(Bun.file(fd).stream(), { number: fd, pending: libc.pending });
    };
    return {
      child,
      orders: openInput(ourOrders),
      answers: read(ourAnswers, isForeign ? "small" : undefined),
      printed: read(ourPrinted, "small"),
    };
  } finally {
    for (const fd of opened) if (!ours.includes(fd)) closeSync(fd);
  }
}

function spawnOnStreams(argv: readonly string[]): Wired {
  const env = { Path: process.env["Path"] ?? "", SystemRoot: process.env["SystemRoot"] ?? "" };
  const child = Bun.spawn([...argv], { stdio: ["pipe", "pipe", "pipe"], env, windowsHide: true });
  const [orders, answers] = [toInputPipe(child.stdin), openOutput(child.stdout)];
  return { child, orders, answers, printed: openOutput(child.stderr) };
}

/** What tells a runner that the time of its call is over, which Windows has no signal for: there it is just ended. */
export const TIME_SIGNAL: NodeJS.Signals = process.platform === "win32" ? "SIGTERM" : "SIGALRM";

/** The other ends of the wire, in the runner. Whatever is printed where stdout is the wire goes to stderr from then on. */
export function openWire(libc: Libc | undefined): {
  readonly orders: OutputPipe;
  readonly answers: InputPipe;
} {
  libc?.prepareReading(ORDERS);
  if (ANSWERS === 1) for (const name of ["log", "info", "debug"] as const) console[name] = console.error;
  return { orders: openOutput(Bun.file(ORDERS).stream()), answers: openInput(ANSWERS) };
}

/** Where the next bytes of the wire can be written at once, before there is anything else. */
export const WIRE_ANSWERS = ANSWERS;
