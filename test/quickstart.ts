import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FARHAND, FARHANDD } from "./support/built.ts";
import { eventually } from "./support/eventually.ts";

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const directory = mkdtempSync(join(tmpdir(), "farhand-quickstart-"));
const env = { ...process.env, FARHAND_STATE: join(directory, "state") };

async function run(argv: readonly string[], stdin = ""): Promise<Run> {
  const child = Bun.spawn([...argv], {
    env,
    cwd: directory,
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** Runs a program here and through Farhand, and stops at the first difference. */
async function compare(what: string, argv: readonly string[], stdin?: string): Promise<void> {
  expectSame(what, await run([FARHAND, "exec", "--", ...argv], stdin), await run(argv, stdin));
}

function expectSame(what: string, found: Run, wanted: Run): void {
  for (const part of ["code", "stdout", "stderr"] as const) {
    if (found[part] === wanted[part]) continue;
    throw new Error(`${what}: ${part} is ${brief(found[part])}, but run here it is ${brief(wanted[part])}`);
  }
  say(what);
}

async function expectSuccess(argv: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")} exited with ${code}: ${stderr}`);
  return stdout.trim();
}

function brief(value: string | number): string {
  return JSON.stringify(value).slice(0, 200);
}

function say(what: string): void {
  console.log(`  ok  ${what}`);
}

/** The built-in parts of a POSIX shell, so that the same script runs everywhere. */
const script = (line: string) => ["/bin/sh", "-c", line];

async function main(): Promise<void> {
  console.log(`Farhand's two executables are built:\n  ${FARHAND}\n  ${FARHANDD}\n`);
  const server = [FARHANDD, "start", "--listen", "127.0.0.1:0"];
  console.log(await expectSuccess(server));
  await compare(
    "streamed output: 20,000 lines came back as they were",
    script("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done"),
  );
  await compare("stdout and stderr came back apart", script("echo to stdout; echo to stderr >&2"));
  await compare("stdin went through, to its end", ["cat"], "a line\nand one without an end");
  await compare("a failing exit code arrived as it was", script("echo failing >&2; exit 42"));

  const counting = script("i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); sleep 0.1; done; exit 7");
  const here = run(counting);
  const job = await expectSuccess([FARHAND, "exec", "-d", "--", ...counting]);
  say(`job ${job} runs with nobody attached`);
  const { pid } = JSON.parse(await expectSuccess([FARHANDD, "status", "--json"])) as { pid: number };
  process.kill(pid, "SIGKILL");
  say(`the server (pid ${pid}) was killed under it with SIGKILL`);
  await expectSuccess(server);
  say("another server started, and found the job running");
  expectSame(
    "followed from its first packet, the job said every line once, and exited with 7",
    await run([FARHAND, "follow", job]),
    await here,
  );
}

/** Ends what is left, and answers whether nothing is. */
async function cleanUp(): Promise<boolean> {
  const status = await run([FARHANDD, "status", "--json"]);
  const { pid, keepers = [] } = JSON.parse(status.stdout) as { pid?: number; keepers?: { pid: number }[] };
  await run([FARHAND, "kill", "--grace", "1s", "@last"]);
  await run([FARHANDD, "stop"]);
  const pids = [pid, ...keepers.map((keeper) => keeper.pid)].filter((pid) => pid !== undefined);
  const isGone = await eventually(() => !pids.some(isRunning)).then(
    () => true,
    () => false,
  );
  rmSync(directory, { recursive: true, force: true });
  return isGone;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

try {
  await main();
  if (!(await cleanUp())) throw new Error("a process was left behind");
  console.log(
    "\nEverything came back exactly as when run here. The server is stopped and its state removed.",
  );
  console.log(`Go on with: ${FARHANDD} start, then ${FARHAND} exec -- uname -a`);
} catch (error) {
  console.error(`\nQuickstart failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
  await cleanUp();
}
