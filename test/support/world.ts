import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { JobSummary } from "../../src/protocol/job.ts";
import { LocalServer } from "../../src/protocol/local.ts";
import type { Outcome } from "../../src/protocol/outcome.ts";
import type { Totals } from "../../src/protocol/packet.ts";
import type { ServerStatus } from "../../src/server/app.ts";
import * as v from "valibot";
import { FARHAND, FARHANDD } from "./built.ts";
import { openDirectory } from "./directory.ts";
import { eventually } from "./eventually.ts";

/** Milliseconds after which everything in a world is killed for the sake of a command that hangs: the test then fails. */
const COMMAND_LIMIT = 55_000;

/** How a command ended, and what it wrote. `code` is null for one that a signal ended. */
export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string | Uint8Array | Bun.BunFile | undefined;
  /** Added to the world's environment; undefined takes a name out of it. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly cwd?: string | undefined;
}

/** A command that is running; `ran` resolves with everything once it has ended. */
export interface Running {
  readonly pid: number;
  readonly ran: Promise<Ran>;
  /** What it has written to stdout so far. */
  readonly said: () => string;
  readonly kill: (signal: NodeJS.Signals) => void;
}

/** A machine's worth of Farhand of its own: state, home, server, and every process that comes of them. */
export interface World extends AsyncDisposable {
  /** The home and working directory of everything. */
  readonly home: string;
  readonly state: string;
  readonly env: Readonly<Record<string, string>>;
  /** Runs the client to its end. */
  readonly farhand: (args: readonly string[], options?: RunOptions) => Promise<Ran>;
  /** Runs the server's executable to its end. */
  readonly farhandd: (args: readonly string[], options?: RunOptions) => Promise<Ran>;
  /** Runs a bash command line, with both executables in the PATH and `pipefail` set. */
  readonly shell: (line: string, options?: RunOptions) => Promise<Ran>;
  /** Starts something that goes on beside the test. */
  readonly open: (argv: readonly string[], options?: RunOptions) => Running;
  /** Starts a server, on a free port unless told otherwise. */
  readonly start: (...args: string[]) => Promise<ServerStatus>;
  readonly status: () => Promise<ServerStatus>;
  /** Address and token of the running server. */
  readonly local: () => LocalServer;
  /** Starts a detached job and answers its id. */
  readonly detach: (...args: string[]) => Promise<string>;
  readonly job: (ref: string) => Promise<JobSummary>;
  /** What a job has recorded as JSON, from its first packet on. */
  readonly packets: (ref: string) => Promise<readonly Shown[]>;
  /** Pids of this world's processes whose command line matches. */
  readonly processes: (pattern: RegExp) => number[];
}

/** A packet as `--json` shows it. */
export type Shown =
  | { readonly type: "accepted"; readonly job: string; readonly number: number }
  | { readonly type: "stdout" | "stderr"; readonly text?: string; readonly bytes?: string }
  | { readonly type: "gap"; readonly next: number; readonly totals: Totals }
  | { readonly type: "exit"; readonly outcome: Outcome; readonly totals: Totals };

/**
 * Makes a world without a server. Disposing ends every process that it brought forth. `inside` stands before each command:
 * what makes it run elsewhere.
 */
export function openWorld({ inside = [] }: { readonly inside?: readonly string[] } = {}): World {
  const directory = openDirectory();
  const home = join(directory.path, "home");
  const state = join(directory.path, "state");
  mkdirSync(home);
  const mark = crypto.randomUUID();
  // Front, keeper and jobs inherit the mark, which is how those that outlive their parents are found.
  const env = {
    PATH: `${dirname(FARHAND)}:${process.env["PATH"]}`,
    HOME: home,
    FARHAND_STATE: state,
    WORLD_MARK: mark,
  };

  const marked = () => findMarked(`WORLD_MARK=${mark}`);
  const spawn = (argv: readonly string[], { stdin, env: more, cwd }: RunOptions = {}) =>
    Bun.spawn([...inside, ...argv], {
      cwd: cwd ?? home,
      env: { ...env, ...more },
      stdin: typeof stdin === "string" ? new TextEncoder().encode(stdin) : (stdin ?? "ignore"),
      stdout: "pipe",
      stderr: "pipe",
    });
  const run = async (argv: readonly string[], options?: RunOptions): Promise<Ran> => {
    const child = spawn(argv, options);
    // The command alone would not do: what it started may hold its pipes.
    const limit = setTimeout(() => marked().forEach(killHard), COMMAND_LIMIT);
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    clearTimeout(limit);
    return { code: child.exitCode, signal: child.signalCode, stdout, stderr };
  };
  const json = async (argv: readonly string[]): Promise<unknown> => {
    const { code, stdout, stderr } = await run(argv);
    if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${stdout}${stderr}`);
    return JSON.parse(stdout);
  };
  const farhand = (args: readonly string[], options?: RunOptions) => run([FARHAND, ...args], options);

  return {
    home,
    state,
    env,
    farhand,
    farhandd: (args, options) => run([FARHANDD, ...args], options),
    shell: (line, options) => run(["bash", "-c", `set -o pipefail; ${line}`], options),
    open: (argv, options) => toRunning(spawn(argv, options)),
    start: async (...args) => {
      const listen = args.some((arg) => arg === "--listen" || arg === "--config")
        ? []
        : ["--listen", "127.0.0.1:0"];
      // What the test demands of a status is in the types that the server itself answers with.
      return (await json([FARHANDD, "start", "--json", ...listen, ...args])) as ServerStatus;
    },
    status: async () => (await json([FARHANDD, "status", "--json"])) as ServerStatus,
    local: () => v.parse(LocalServer, JSON.parse(readFileSync(join(state, "local.json"), "utf8"))),
    detach: async (...args) => {
      const { job } = (await json([FARHAND, "exec", "-d", "--json", ...args])) as { job: string };
      return job;
    },
    job: async (ref) => {
      const { jobs } = (await json([FARHAND, "jobs", "--json", ref])) as { jobs: [JobSummary] };
      return jobs[0];
    },
    packets: async (ref) => parseShown((await farhand(["follow", "--json", ref])).stdout),
    processes: (pattern) => marked().filter((pid) => pattern.test(readProcess(pid, "cmdline"))),
    async [Symbol.asyncDispose]() {
      await eventually(() => {
        const left = marked();
        for (const pid of left) killHard(pid);
        return left.length === 0;
      }, 30_000);
      directory[Symbol.dispose]();
    },
  };
}

/** Reads what `--json` wrote, a packet per line. */
export function parseShown(text: string): Shown[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

/** A file of /proc/PID with its NULs as spaces; empty once the process is gone. */
export function readProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1").replaceAll("\0", " ");
  } catch {
    return ""; // it ended meanwhile
  }
}

export function isRunning(pid: number): boolean {
  return readProcess(pid, "cmdline") !== ""; // a zombie has none
}

function toRunning(child: Bun.Subprocess<"ignore" | Uint8Array | Bun.BunFile, "pipe", "pipe">): Running {
  const decoder = new TextDecoder();
  let said = "";
  const listen = async () => {
    for await (const chunk of child.stdout) said += decoder.decode(chunk, { stream: true });
    return said;
  };
  const ran = Promise.all([listen(), child.stderr.text(), child.exited]).then(([stdout, stderr]) => ({
    code: child.exitCode,
    signal: child.signalCode,
    stdout,
    stderr,
  }));
  return { pid: child.pid, ran, said: () => said, kill: (signal) => child.kill(signal) };
}

function findMarked(mark: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => readProcess(pid, "environ").split(" ").includes(mark));
}

function killHard(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}
