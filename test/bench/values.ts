import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Pool } from "../../src/sdk.ts";
import { openWorld } from "../support/world.ts";
import { compare, type Row } from "./compare.ts";

const VALUES = 100_000;
/** Each takes seconds. */
const RUNS = 7;
/** Records a millisecond that harpd streamed, which kept none of them. */
const HARPD_RATE = 71.7;

const COMMAND = `import { defineCommand, v } from "farhand";
export default defineCommand({
  name: "count-up",
  kind: "background",
  summary: "Stream records",
  input: v.object({ to: v.number() }),
  event: v.object({ index: v.number(), text: v.string() }),
  async *run({ to }) {
    for (let index = 0; index < to; index++) yield { index, text: "a record" };
  },
});
`;

/** What one would write instead: a program that says lines of JSON, each at once. */
const PROGRAM = `import { writeSync } from "node:fs";
for (let index = 0; index < ${VALUES}; index++) writeSync(1, JSON.stringify({ index, text: "a record" }) + "\\n");
`;

/** A command that streams values, from its process through keeper and front to a client. */
export async function measureValues(directory: string): Promise<Row[]> {
  const [extension, program] = [join(directory, "count-up.ts"), join(directory, "lines.ts")];
  writeFileSync(extension, COMMAND);
  writeFileSync(program, PROGRAM);
  await using world = openWorld();
  await world.start("--extension", extension);
  await using pool = new Pool({});
  const { url, token } = world.local();
  const connection = await pool.add(url, { token }).connect();
  const count = async (packets: AsyncIterable<{ readonly type: string }>) => {
    let values = 0;
    for await (const { type } of packets) if (type === "value") values++;
    if (values !== VALUES) throw new Error(`${values} values came`);
  };
  const stream = async () => {
    // The type of a command that nobody knows here is anything.
    const listener = await connection.call("count-up", { to: VALUES }, { complete: false });
    await count(listener as AsyncIterable<{ readonly type: string }>);
  };
  const rows = await compare(
    "values of a streaming command",
    [
      { name: "as they are said", run: stream },
      {
        name: "the same, of a job that is over",
        run: async () => await count(await connection.follow("@last")),
      },
      { name: "lines of JSON on a local pipe", run: () => readLines(program) },
    ],
    RUNS,
    (ms) => formatRate(VALUES / ms),
  );
  const quoted = { what: "", runs: "", ratio: "", target: "" };
  return [
    ...rows,
    { ...quoted, name: "records that harpd streamed, as it was measured", figure: formatRate(HARPD_RATE) },
  ];
}

/** Of so many a millisecond. */
function formatRate(rate: number): string {
  return `${rate.toFixed(1)} k/s`;
}

async function readLines(program: string): Promise<void> {
  const child = Bun.spawn([process.execPath, program], { stdin: "ignore", stdout: "pipe" });
  const decoder = new TextDecoder();
  let [rest, values] = ["", 0];
  for await (const chunk of child.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (JSON.parse(line).text === "a record") values++;
  }
  if (values !== VALUES) throw new Error(`${values} lines came`);
}
