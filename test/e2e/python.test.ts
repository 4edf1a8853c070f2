import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { openWorld, type RunOptions } from "../support/world.ts";

setDefaultTimeout(60_000);

/** Written from the specification alone, with nothing but Python's standard library. */
const PROGRAM = resolve(import.meta.dir, "../fixtures/client.py");

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
  await world.start();
  const { url, token } = world.local();
  const python = (line: string, { env, ...options }: RunOptions = {}) =>
    world.shell(`python3 '${PROGRAM}' ${new URL(url).host} ${line}`, {
      ...options,
      env: { FARHAND_TOKEN: token, ...env },
    });
  return { ...world, python };
}

const md5 = (bytes: string | Uint8Array) => createHash("md5").update(bytes).digest("hex");

test("a client in Python takes at most a hundred lines", () => {
  expect(readFileSync(PROGRAM, "utf8").trimEnd().split("\n").length).toBeLessThanOrEqual(100);
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
});
