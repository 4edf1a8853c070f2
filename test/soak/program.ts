import { constants } from "node:os";
import { FARHAND } from "../support/built.ts";
import type { Random } from "../support/random.ts";

/** A program that writes the same whenever and wherever it runs, and how the client is told to run it. */
export interface Program {
  readonly kind: string;
  /** Of `sh`. */
  readonly script: string;
  /** What it reads. */
  readonly stdin: Uint8Array | undefined;
  /** Attached with the output as it is, attached with packets as JSON, or detached and then followed. */
  readonly mode: "plain" | "json" | "detached";
  /** Stands in its command line, so that its job is found and counted. */
  readonly mark: string;
}

/** What a program wrote and how it ended, as a shell says that. */
export interface Written {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly code: number;
}

type Draft = Pick<Program, "kind" | "script"> & { readonly stdin?: Uint8Array };

const SIGNALS = ["TERM", "KILL", "SEGV", "USR1", "INT", "ABRT"];

const kinds: readonly ((random: Random) => Draft)[] = [
  (random) => ({ kind: "short", script: `echo ${random.whole(1e6)}` }),
  (random) => {
    const code = random.between(1, 124);
    return { kind: "exit code", script: `echo out; echo err >&2; exit ${code}` };
  },
  (random) => ({ kind: "signal", script: `echo dying; kill -${random.pick(SIGNALS)} $$; sleep 10` }),
  (random) => ({
    kind: "both streams",
    script: `i=0; while [ $i -lt ${random.between(100, 3_000)} ]; do i=$((i+1)); echo out $i; echo err $i >&2; done`,
  }),
  (random) => ({
    kind: "binary",
    script: `head -c ${random.between(1, 8_000_000)} '${FARHAND}'; exit ${random.whole(3)}`,
  }),
  (random) => ({ kind: "large", script: `seq ${random.whole(1_000)} ${random.between(50_000, 1_000_000)}` }),
  (random) => ({
    kind: "long",
    script: `i=0; while [ $i -lt ${random.between(20, 300)} ]; do i=$((i+1)); echo $i; sleep 0.05; done; exit 3`,
  }),
  (random) => ({ kind: "input echoed", script: "cat", stdin: random.bytes(random.whole(400_000)) }),
  (random) => ({
    kind: "input counted",
    script: "wc -c; exit 5",
    stdin: random.bytes(random.whole(400_000)),
  }),
  (random) => ({
    kind: "input read late",
    script: "sleep 2; md5sum",
    stdin: random.bytes(random.whole(200_000)),
  }),
  () => ({ kind: "silent", script: "sleep 1; exit 9" }),
];

export function createProgram(random: Random, number: number): Program {
  const { stdin, ...draft } = random.pick(kinds)(random);
  const modes = stdin === undefined ? (["plain", "json", "detached"] as const) : (["plain", "json"] as const);
  return { ...draft, stdin, mode: random.pick(modes), mark: `soak-${random.seed}-${number}.` };
}

export function toArgv({ script, mark }: Program): readonly string[] {
  return ["sh", "-c", script, mark];
}

/** Runs a program here, without Farhand. */
export async function runLocally(program: Program, cwd: string): Promise<Written> {
  const child = Bun.spawn([...toArgv(program)], {
    cwd,
    stdin: program.stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.bytes(), child.exited]);
  return {
    stdout: Buffer.from(stdout),
    stderr: Buffer.from(stderr),
    code: toCode(child.exitCode, child.signalCode),
  };
}

/** An exit code as a shell gives it. */
export function toCode(code: number | null, signal: Bun.Subprocess["signalCode"]): number {
  return code ?? 128 + (typeof signal === "string" ? constants.signals[signal] : (signal ?? 0));
}
