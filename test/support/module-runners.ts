import { turn } from "../../src/lib/abort.ts";
import { createLog } from "../../src/lib/log.ts";
import { openLibc } from "../../src/process/libc.ts";
import { decodeValue } from "../../src/protocol/cbor/payload.ts";
import type { AppError } from "../../src/protocol/error.ts";
import type { Login } from "../../src/server/logins/login.ts";
import type { ModuleCall, ModuleUnit } from "../../src/server/runners/module-call.ts";
import { Runners } from "../../src/server/runners/runners.ts";
import { FARHANDD } from "./built.ts";

export interface ModuleRunnersOptions {
  readonly maxMemory?: number;
  /** Takes each line of the log. */
  readonly onLog?: (line: string) => void;
}

/** Runners of the compiled server, without a server. */
export function openModuleRunners({ maxMemory = 1024 ** 3, onLog = () => {} }: ModuleRunnersOptions = {}) {
  const pids: number[] = [];
  const runners = new Runners({
    libc: openLibc(),
    toCommand: (login: Login | undefined) => ({
      argv: [FARHANDD, "runner", login ? JSON.stringify(login.credentials) : "own"],
      argv0: FARHANDD,
    }),
    onSpawn: (pid) => pids.push(pid),
    log: createLog({ level: "info", format: "json", write: onLog, now: () => new Date(0) }),
    umask: 0o022,
    maxMemory,
  });
  return Object.assign(runners, { pids: pids as readonly number[] });
}

/** A module as a server has it: its source needs no bundling. */
export function toUnit(source: string, more: Partial<ModuleUnit> = {}): ModuleUnit {
  const hash = new Bun.CryptoHasher("sha256").update(source).digest("hex");
  return { type: "module", hash, source: new TextEncoder().encode(source), isShared: false, ...more };
}

/** A module of one command, called `it`, from the fields of its definition. */
export function toCommandUnit(fields: string, before = ""): ModuleUnit {
  return toUnit(
    `import { defineCommand, v, AppError } from "farhand"; ${before}\nexport default defineCommand({ name: "it", summary: "it", ${fields} });`,
  );
}

/** What came of a call: what it said, and its result, or its failure. */
export interface Came {
  readonly said: readonly unknown[];
  readonly result?: unknown;
  readonly error?: AppError;
}

/** Calls the command `it` of a module, or what else is named. */
export async function callModule(
  runners: Runners,
  unit: ModuleCall["unit"],
  more: Partial<ModuleCall> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Came> {
  const said: unknown[] = [];
  const call: ModuleCall = {
    unit,
    command: "it",
    input: {},
    caller: { user: "ann", role: "admin", source: "unix" },
    workspace: { cwd: "/tmp", environment: { PATH: process.env["PATH"] ?? "", HOME: "/tmp" } },
    owner: "ann",
    timeoutMs: 30_000,
    isHeard: true,
    ...more,
  };
  const stream = runners.runModule(call, signal);
  let parts: Uint8Array[] = [];
  try {
    for (;;) {
      const { done, value } = await stream.next();
      if (done) return { said, result: decodeValue(value ?? Buffer.concat(parts)) };
      for (const { type, payload } of value) {
        if (type === "bytes") said.push(Buffer.from(payload).toString());
        else parts.push(payload);
        if (type !== "value") continue;
        said.push(decodeValue(Buffer.concat(parts)));
        parts = [];
      }
      await turn(); // as a server does: nothing else would have one beside a flood
    }
  } catch (error) {
    // Whatever else is thrown shows as one in the test.
    return { said, error: error as AppError };
  }
}
