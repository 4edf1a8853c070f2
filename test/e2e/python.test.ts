import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { installCommands } from "../support/own-commands.ts";
import { openWorld, type RunOptions } from "../support/world.ts";

setDefaultTimeout(60_000);

const FIXTURES = resolve(import.meta.dir, "../fixtures");
/** Written from the specification alone, with nothing but Python's standard library. */
const PROGRAM = join(FIXTURES, "client.py");
const VALUES = join(FIXTURES, "values.py");

/** Why the program cannot run here, or undefined when it can. */
function findPythonFault(): string | undefined {
  try {
    const { success, stderr } = Bun.spawnSync(["python3", "-c", "import zlib, hashlib; f'{1}'"]);
    return success ? undefined : `python3 is not usable: ${stderr.toString().trim()}`;
  } catch {
    return "there is no python3 in the PATH";
  }
}

const fault = findPythonFault();
if (fault !== undefined) console.warn(`The client in Python is not tested: ${fault}`);

async function setup() {
  const world = openWorld();
  installCommands(world, "echo.ts");
  await world.start();
  const { url, token } = world.local();
  /** What a call has said and answered. */
  const call = async (command: string, input: unknown) => {
    const argv = ["python3", "-B", VALUES, new URL(url).host, command];
    const options = { env: { FARHAND_TOKEN: token }, stdin: JSON.stringify(input) };
    const { stdout, stderr } = await world.open(argv, options).ran;
    const lines: unknown[] = stdout
      .trim()
      .split("\n")
      .flatMap((line) => (line ? [JSON.parse(line)] : []));
    return { lines, refusal: stderr === "" ? undefined : JSON.parse(stderr) };
  };
  const python = (line: string, { env, ...options }: RunOptions = {}) =>
    world.shell(`python3 '${PROGRAM}' ${new URL(url).host} ${line}`, {
      ...options,
      env: { FARHAND_TOKEN: token, ...env },
    });
  return { ...world, python, call };
}

const md5 = (bytes: string | Uint8Array) => createHash("md5").update(bytes).digest("hex");

test.each([PROGRAM, VALUES])("%s takes at most a hundred lines", (path) => {
  expect(readFileSync(path, "utf8").trimEnd().split("\n").length).toBeLessThanOrEqual(100);
});

describe.skipIf(fault !== undefined)("a client in Python", () => {
  test("gets every line of seq 1 200000, its md5 and its exit code", async () => {
    await using world = await setup();
    const { code, stdout, stderr } = await world.python("seq 1 200000");
    const local = Bun.spawnSync(["seq", "1", "200000"]).stdout;
    expect({ code, stdout: md5(stdout), stderr }).toEqual({
      code: 0,
      stdout: md5(local),
      stderr: `md5 ${md5(local)}\n`,
    });
  });

  test("gets back the megabytes that it feeds to cat", async () => {
    await using world = await setup();
    const stdin = randomBytes(3_000_000);
    const { code, stdout } = await world.python("cat | md5sum", { stdin });
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${md5(stdin)}  -\n` });
  });

  test("ends with the program's exit code and writes its stderr apart", async () => {
    await using world = await setup();
    const { code, stdout, stderr } = await world.python("sh -c 'echo out; echo err >&2; exit 7'");
    expect({ code, stdout, stderr }).toEqual({
      code: 7,
      stdout: "out\n",
      stderr: `err\nmd5 ${md5("out\n")}\n`,
    });
  });

  test("ends with 125 when its token is wrong, and nothing was executed", async () => {
    await using world = await setup();
    const { code, stdout } = await world.python("echo hi", { env: { FARHAND_TOKEN: "fh_wrong" } });
    expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
    expect((await world.status()).jobs.total).toBe(0);
  });

  test.each([
    ["what JSON has a word for", { a: [1, -1.5, "ü", true, null], b: { c: {} } }],
    ["what no packet has room for", { text: "x".repeat(200_000), list: [-1, 2 ** 40, 1.1] }],
  ])("gets back from a command of the server's own %s, on the way and as its result", async (_, value) => {
    await using world = await setup();
    expect((await world.call("echo", { value })).lines).toEqual([
      { said: { said: value } },
      { answered: value },
    ]);
  });

  test("is told what is wrong with a call", async () => {
    await using world = await setup();
    expect(await world.call("echo", {})).toMatchObject({ lines: [], refusal: { code: "invalid_input" } });
  });

  test("has a task do something, and knows the answer, however large that is", async () => {
    await using world = await setup();
    const started = await world.farhand(["task", "start", "echo", join(FIXTURES, "echo-task.ts")]);
    expect(started).toMatchObject({ code: 0 });
    let before: unknown = { undefined: true };
    for (const value of [{ n: 1 }, { text: "y".repeat(40_000) }, { last: "z".repeat(40_000) }]) {
      const args = { encoding: "json", value };
      const execution = crypto.randomUUID();
      const { lines } = await world.call("task-exec", { task: "echo", execution, args });
      expect(lines).toMatchObject([
        { answered: { execution, state: "finished", value: { args: value, before } } },
      ]);
      before = value;
    }
  });
});
