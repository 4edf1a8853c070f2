import { closeSync } from "node:fs";
import { openLibc } from "../../src/process/libc.ts";
import { openInput } from "../../src/process/pipe.ts";
import { decodeValue, encodeValue } from "../../src/protocol/cbor/payload.ts";
import { SaidDecoder } from "../../src/protocol/said.ts";
import { encodeOrder, type JobOrder } from "../../src/runner/order.ts";
import { FARHANDD } from "./built.ts";

/** What a runner that is a job has said. */
export interface JobSaid {
  /** Values, whatever number of records they took. */
  readonly values: readonly unknown[];
  /** Parts that no value has ended. */
  readonly parts: readonly Uint8Array[];
  readonly end: unknown;
}

export interface JobRun {
  readonly pid: number;
  readonly write: (text: string) => Promise<void>;
  readonly endInput: () => void;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly said: () => JobSaid;
  readonly ran: Promise<
    JobSaid & {
      readonly code: number | null;
      readonly signal: string | number | null;
      readonly stdout: string;
      readonly stderr: string;
    }
  >;
}

export interface JobRunOptions {
  readonly order?: JobOrder;
  readonly input?: unknown;
  readonly env?: Readonly<Record<string, string>>;
}

const COMMAND: JobOrder = {
  type: "command",
  command: "it",
  caller: { user: "ann", role: "admin", source: "unix" },
};

/** Runs the compiled server as a job's runner, as a keeper does. */
export function runJobRunner(
  module: Uint8Array,
  { order = COMMAND, input = {}, env = {} }: JobRunOptions = {},
): JobRun {
  const libc = openLibc();
  const [stdin, ourStdin] = libc.pipe();
  const [ourSaid, said] = libc.pipe();
  const child = Bun.spawn([FARHANDD, "runner", "job"], {
    stdio: [stdin, "pipe", "pipe", said],
    cwd: "/tmp",
    env: { PATH: process.env["PATH"], ...env },
    detached: true,
  });
  for (const fd of [stdin, said]) closeSync(fd);
  libc.prepareReading(ourSaid);
  const writer = openInput(ourStdin);
  const ordered = writer.write(encodeOrder({ order, module, payload: encodeValue(input) }));
  const values: unknown[] = [];
  let parts: Uint8Array[] = [];
  let end: unknown;
  const reading = (async () => {
    const decoder = new SaidDecoder();
    for await (const chunk of Bun.file(ourSaid).stream())
      for (const { kind, payload } of decoder.push(chunk)) {
        if (kind === "end") end = JSON.parse(Buffer.from(payload).toString());
        else parts.push(new Uint8Array(payload));
        if (kind !== "value") continue;
        values.push(decodeValue(Buffer.concat(parts)));
        parts = [];
      }
    closeSync(ourSaid);
  })();
  const collect = async () => {
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    await Promise.all([child.exited, reading, ordered.catch(() => {})]);
    writer.end();
    return { code: child.exitCode, signal: child.signalCode, stdout, stderr, values, parts, end };
  };
  return {
    pid: child.pid,
    write: async (text) => {
      await ordered;
      await writer.write(Buffer.from(text));
    },
    endInput: () => void ordered.then(() => writer.end()),
    kill: (signal) => child.kill(signal),
    said: () => ({ values, parts, end }),
    ran: collect(),
  };
}
