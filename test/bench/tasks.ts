import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, Pool } from "../../src/sdk.ts";
import { openWorld } from "../support/world.ts";
import { compare, formatTime, median, type Row } from "./compare.ts";

const MIB = 1024 ** 2;
/** What carries much takes long enough to need no thousand runs. */
const LARGE_RUNS = 30;
/** What `execute` of bgpy took (ms), every time: it sleeps. */
const BGPY_EXECUTE = 604;

const ECHO = `import { defineTask } from "farhand";
export default defineTask({
  init: () => 0,
  exec(context, state, args) {
    context.respond(args);
    return state + 1;
  },
});
`;

/** A command of one's own that does as much, in a process that is there already. */
const COMMAND = `import { defineCommand, v } from "farhand";
export default defineCommand({
  name: "echo-back",
  summary: "Answer what it is given",
  input: v.object({ add: v.number() }),
  result: v.object({ add: v.number() }),
  run: (input) => input,
});
`;

/** Tasks, beside commands of one's own and what one would do without a server. */
export async function measureTasks(directory: string, runs: number): Promise<Row[]> {
  const [module, extension] = [join(directory, "echo-task.ts"), join(directory, "echo-back.ts")];
  writeFileSync(module, ECHO);
  writeFileSync(extension, COMMAND);
  await using world = openWorld();
  await world.start("--extension", extension);
  await using pool = new Pool({});
  const { url, token } = world.local();
  const connection = await pool.add(url, { token }).connect();
  await connection.tasks.start("echo", { module });
  return [
    ...(await measureTrip(connection, directory, runs)),
    ...(await measureLarge(connection)),
    ...(await measureStart(connection)),
  ];
}

async function measureTrip(connection: Connection, directory: string, runs: number): Promise<Row[]> {
  using worker = openWorker(directory);
  const rows = await compare(
    "task exec round trip",
    [
      { name: "task exec on an open connection", run: () => connection.tasks.exec("echo", { add: 1 }) },
      {
        name: "a foreground command of one's own",
        run: () => connection.call("echo-back", { add: 1 }),
        target: 2,
      },
      { name: "a built-in foreground command (cwd)", run: () => connection.cwd() },
      { name: "a bare worker, postMessage and back", run: worker.ask },
    ],
    runs,
  );
  const quoted = { runs: "", ratio: "", target: "" };
  return [
    ...rows,
    { ...quoted, what: "", name: "bgpy's execute, as it was measured", figure: formatTime(BGPY_EXECUTE) },
  ];
}

async function measureLarge({ tasks }: Connection): Promise<Row[]> {
  const argument = new Uint8Array(16 * MIB);
  return await compare(
    "16 MiB to a task and back",
    [{ name: "task exec with an argument that it answers", run: () => tasks.exec("echo", argument) }],
    LARGE_RUNS,
  );
}

/** A bundle of a mebibyte: one that no server has, and then the same again. */
async function measureStart({ tasks }: Connection): Promise<Row[]> {
  const [first, second]: [number[], number[]] = [[], []];
  for (let run = 0; run < LARGE_RUNS; run++) {
    const filling = `// ${crypto.randomUUID()} ${"x".repeat(MIB)}\n`;
    const module = new TextEncoder().encode(
      `${filling}export default { exec: (context, state) => state };\n`,
    );
    for (const times of [first, second]) {
      const begun = performance.now();
      await tasks.start("large", { module });
      times.push(performance.now() - begun);
      await tasks.stop("large");
    }
  }
  const toRow = (name: string, times: readonly number[]): Row => ({
    what: "",
    name,
    runs: String(LARGE_RUNS),
    figure: formatTime(median(times)),
    ratio: "",
    target: "",
  });
  return [
    { ...toRow("first start of a bundle of 1 MiB", first), what: "task start" },
    toRow("the same again", second),
  ];
}

/** A worker that sends back what it gets, in a thread of this process. */
function openWorker(directory: string): Disposable & { readonly ask: () => Promise<void> } {
  const file = join(directory, "worker.ts");
  writeFileSync(file, "self.onmessage = ({ data }) => self.postMessage(data);\n");
  const worker = new Worker(file);
  let answered = Promise.withResolvers<void>();
  worker.onmessage = () => answered.resolve();
  return {
    async ask() {
      answered = Promise.withResolvers();
      worker.postMessage({ add: 1 });
      await answered.promise;
    },
    [Symbol.dispose]: () => worker.terminate(),
  };
}
