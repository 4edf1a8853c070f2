import { readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Connection, Pool } from "../../src/sdk.ts";
import { FARHAND } from "../support/built.ts";
import { openDirectory } from "../support/directory.ts";
import { openWorld, type World } from "../support/world.ts";
import { compare, median, type Row, verdict } from "./compare.ts";
import { openSshd, type PrivateSshd } from "./sshd.ts";
import { measureTasks } from "./tasks.ts";
import { measureValues } from "./values.ts";

const usage = `Usage: bun run bench [--runs N] [--only cold|warm|trip|tasks|values|stdout|idle]

Farhand against what one would use instead, on this machine, in this run: medians of interleaved runs.`;

const GIB = 1024 ** 3;
/** A gibibyte takes long enough to need no thirty runs. */
const STDOUT_RUNS = 7;

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "40" },
    only: { type: "string" },
    help: { type: "boolean" },
  },
});
if (values.help) console.log(usage);
else await bench(Math.max(30, Number(values.runs)), values.only);

async function bench(runs: number, only: string | undefined): Promise<void> {
  const rows: Row[] = [];
  const missing: string[] = [];
  using directory = openDirectory();
  await using world = openWorld();
  await world.start();
  const sections: Record<string, () => Promise<Row[]>> = {
    idle: () => measureIdle(world),
    cold: () => measureCold(world, ssh, directory.path, runs),
    warm: () => connected(world, (connection) => measureWarm(connection, 25 * runs)),
    trip: () => connected(world, (connection) => measureTrip(connection, directory.path, 25 * runs)),
    tasks: () => measureTasks(directory.path, 25 * runs),
    values: () => measureValues(directory.path),
    stdout: () => measureStdout(world, ssh),
  };
  await using stack = new AsyncDisposableStack();
  const found = await openSshd(directory.path);
  const ssh = typeof found === "string" ? undefined : stack.use(found);
  if (typeof found === "string") missing.push(`not measured against ssh: ${found}`);
  for (const [name, measure] of Object.entries(sections)) {
    if (only !== undefined && only !== name) continue;
    rows.push(...(await measure()));
  }
  print(rows);
  for (const line of missing) console.log(line);
}

async function measureCold(
  world: World,
  ssh: PrivateSshd | undefined,
  directory: string,
  runs: number,
): Promise<Row[]> {
  const hello = await compileHello(directory);
  const spawn = (argv: readonly string[]) => async () => {
    const child = Bun.spawn([...argv], {
      env: world.env,
      cwd: world.home,
      stdio: ["ignore", "ignore", "ignore"],
    });
    if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")} ended with ${child.exitCode}`);
  };
  return compare(
    "cold exec of true",
    [
      { name: "farhand exec -- true", run: spawn([FARHAND, "exec", "--", "true"]) },
      ...(ssh
        ? [
            { name: "ssh host true", run: spawn([...ssh.cold, "true"]), target: 1 / 15 },
            { name: "ssh host true, ControlMaster", run: spawn([...ssh.mastered, "true"]), target: 1 / 5 },
          ]
        : []),
      { name: "bare start of a compiled executable", run: spawn([hello]), target: 4 },
    ],
    runs,
  );
}

async function measureWarm(connection: Connection, runs: number): Promise<Row[]> {
  return compare(
    "warm exec of true",
    [
      { name: "exec on an open connection", run: () => connection.exec(["true"]) },
      {
        name: "local Bun.spawn",
        run: () => Bun.spawn(["true"], { stdio: ["ignore", "ignore", "ignore"] }).exited,
        target: 2,
      },
      {
        name: "local Bun.spawn, output read",
        run: async () => {
          const child = Bun.spawn(["true"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
          await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
        },
      },
    ],
    runs,
  );
}

async function measureTrip(connection: Connection, directory: string, runs: number): Promise<Row[]> {
  await using echo = await openEcho(directory);
  return await compare(
    "command round trip",
    [
      { name: "ping on an open connection", run: () => connection.ping() },
      { name: "raw WebSocket echo", run: echo.send, target: 3 },
    ],
    runs,
  );
}

async function measureStdout(world: World, ssh: PrivateSshd | undefined): Promise<Row[]> {
  const program = `head -c ${GIB} /dev/zero`;
  const pipe = (line: string) => async () => {
    const child = Bun.spawn(["bash", "-o", "pipefail", "-c", `${line} | cat > /dev/null`], {
      env: world.env,
      cwd: world.home,
      stdin: "ignore",
    });
    if ((await child.exited) !== 0) throw new Error(`${line} ended with ${child.exitCode}`);
  };
  const rows = await compare(
    "1 GiB of stdout",
    [
      { name: "farhand exec", run: pipe(`${FARHAND} exec --no-stdin -- ${program}`) },
      ...(ssh ? [{ name: "ssh", run: pipe(`${ssh.cold.join(" ")} ${program}`), target: 1 / 1.3 }] : []),
      { name: "cat | cat", run: pipe(`${program} | cat | cat`) },
    ],
    STDOUT_RUNS,
  );
  return rows;
}

/** Front and keeper of a server that has done nothing yet. */
async function measureIdle(world: World): Promise<Row[]> {
  const { pid, keepers } = await world.status();
  const samples: number[] = [];
  for (let sample = 0; sample < 30; sample++) {
    samples.push(
      [pid, ...keepers.map(({ pid }) => pid ?? 0)].reduce((sum, pid) => sum + privateBytes(pid), 0),
    );
    await Bun.sleep(20);
  }
  const bytes = median(samples);
  return [
    {
      what: "idle private memory",
      name: "front and keeper together",
      runs: "30",
      figure: `${(bytes / 1e6).toFixed(1)} MB`,
      ratio: "",
      target: verdict(bytes < 60e6, "below 60 MB"),
    },
  ];
}

async function connected(world: World, measure: (connection: Connection) => Promise<Row[]>): Promise<Row[]> {
  await using pool = new Pool({ FARHAND_STATE: world.state });
  const { url, token } = world.local();
  return await measure(await pool.add(url, { token }).connect());
}

/** A program that does nothing, built as build.ts builds ours. */
async function compileHello(directory: string): Promise<string> {
  const entry = join(directory, "hello.ts");
  const outfile = join(directory, "hello");
  writeFileSync(entry, "process.exitCode = 0;\n");
  await Bun.build({
    entrypoints: [entry],
    target: "bun",
    format: "esm",
    bytecode: true,
    sourcemap: "inline",
    minify: { whitespace: true, syntax: true, identifiers: false },
    compile: {
      outfile,
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
  });
  return outfile;
}

/** A WebSocket server in a process of its own that sends back what it gets. */
async function openEcho(directory: string): Promise<AsyncDisposable & { send: () => Promise<void> }> {
  const entry = join(directory, "echo.ts");
  writeFileSync(
    entry,
    `const server = Bun.serve({
       hostname: "127.0.0.1",
       port: 0,
       fetch: (request) => (server.upgrade(request) ? undefined : new Response("", { status: 400 })),
       websocket: { perMessageDeflate: false, message: (socket, message) => void socket.send(message) },
     });
     console.log(server.port);`,
  );
  const child = Bun.spawn([process.execPath, entry], { stdin: "ignore", stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  const socket = new WebSocket(`ws://127.0.0.1:${Number(new TextDecoder().decode(value))}`);
  let answered = Promise.withResolvers<void>();
  socket.onopen = () => answered.resolve();
  socket.onmessage = () => answered.resolve();
  await answered.promise;
  // As long as a ping's call.
  const text = JSON.stringify({
    type: "call",
    call: 1,
    command: "ping",
    input: { encoding: "json", value: {} },
  });
  return {
    async send() {
      answered = Promise.withResolvers<void>();
      socket.send(text);
      await answered.promise;
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      child.kill();
      await child.exited;
    },
  };
}

function privateBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const sizes = [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)];
  return sizes.reduce((sum, [, size]) => sum + Number(size) * 1_024, 0);
}

function print(rows: readonly Row[]): void {
  const table = [
    { what: "what", name: "how", runs: "runs", figure: "median", ratio: "farhand is", target: "target" },
    ...rows,
  ];
  const columns = ["what", "name", "runs", "figure", "ratio", "target"] as const;
  const widths = columns.map((column) => Math.max(...table.map((row) => row[column].length)));
  const [cpu] = cpus();
  console.log(
    `${cpus().length} × ${cpu?.model ?? "?"}, ${Math.round(totalmem() / GIB)} GiB, Bun ${Bun.version}, ${new Date().toISOString()}`,
  );
  for (const row of table)
    console.log(
      columns
        .map((column, index) => row[column].padEnd(widths[index] ?? 0))
        .join("  ")
        .trimEnd(),
    );
}
