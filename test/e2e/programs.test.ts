import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Pool } from "../../src/sdk.ts";
import type { Outcome, RecordedOutcome } from "../../src/protocol/outcome.ts";
import { openWorld, parseShown } from "../support/world.ts";

setDefaultTimeout(120_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const exec = (line: string, ...args: string[]) =>
    world.farhand(["exec", ...args, "--", "bash", "-c", line]);
  /** How a job ended, as `--json` tells it. */
  const outcomeOf = async (line: string): Promise<Outcome | undefined> => {
    const { stdout } = await exec(line, "--json");
    const last = parseShown(stdout).at(-1);
    return last?.type === "exit" ? last.outcome : undefined;
  };
  return { ...world, exec, outcomeOf };
}

describe("How a program ended (D7)", () => {
  test("is its code, whichever of 256 it is, and --json tells its 255 and 125 from ours", async () => {
    await using world = await setup();
    for (const code of [0, 1, 124, 125, 126, 127, 130, 255]) {
      expect((await world.exec(`exit ${code}`)).code).toBe(code);
      expect(await world.outcomeOf(`exit ${code}`)).toEqual({ type: "exited", code });
    }
    // The system itself keeps a byte of it.
    expect(await world.outcomeOf("exec python3 -c 'import os; os._exit(256 + 7)' || exit 7")).toEqual({
      type: "exited",
      code: 7,
    });
  });

  test("is the signal that ended it, with a core dump or without", async () => {
    await using world = await setup();
    for (const [name, number] of [
      ["ABRT", 6],
      ["KILL", 9],
      ["SEGV", 11],
      ["BUS", 7],
    ] as const) {
      for (const cores of ["0", "unlimited"]) {
        const line = `cd /tmp; ulimit -c ${cores}; kill -${name} $$; sleep 60`;
        expect((await world.exec(line)).code).toBe(128 + number);
        expect(await world.outcomeOf(line)).toEqual({ type: "signaled", signal: `SIG${name}` });
      }
    }
  });
});

test("A NUL in a word or a variable is refused with a sentence, and the server goes on (D9)", async () => {
  await using world = await setup();
  await using pool = new Pool({});
  const session = await pool
    .add(world.local().url, { token: world.local().token })
    .connect({ timeout: 10_000 });
  const codeOf = async (argv: string[], { env = {} }: { env?: Record<string, string> } = {}) =>
    (await session.exec(argv, { env })).error?.code;
  expect(await codeOf(["echo", "a\0b"])).toBe("invalid_input");
  expect(await codeOf(["ec\0ho"])).toBe("invalid_input");
  expect(await codeOf(["true"], { env: { A: "x\0y" } })).toBe("invalid_input");
  expect(await codeOf(["true"], { env: { "A\0B": "x" } })).toBe("invalid_input");
  expect((await session.exec(["true"])).outcome).toEqual({ type: "exited", code: 0 });
});

test("Cancel, a time limit and the exit race to one outcome, whoever looks (D10)", async () => {
  await using world = await setup();
  const race = async (at: number) => {
    const delay = `0.${String(20 + ((at * 7) % 30)).padStart(2, "0")}`;
    const client = world.open([
      "farhand",
      "exec",
      "--json",
      "--max-exec-time",
      `${200 + ((at * 11) % 300)}ms`,
      "--",
      "sleep",
      delay,
    ]);
    const job = await accepted(client.said);
    await Bun.sleep(100 + ((at * 13) % 300));
    const killed = await world.farhand(["kill", job]);
    const { stdout } = await client.ran;
    const shown = parseShown(stdout).flatMap((packet) => (packet.type === "exit" ? [packet.outcome] : []));
    expect(shown).toHaveLength(1);
    expect(["exited", "timed_out", "cancelled"]).toContain(shown[0]?.type ?? "none");
    expect((await world.job(job)).outcome).toEqual(shown[0] as RecordedOutcome);
    if (killed.code !== 0) expect(killed.stderr).toContain("none of its processes is running");
    return shown[0]?.type;
  };
  const winners: (string | undefined)[] = [];
  for (let at = 0; at < 40; at += 4)
    winners.push(...(await Promise.all([0, 1, 2, 3].map((index) => race(at + index)))));
  expect(winners).toHaveLength(40);
});

/** The job that a client with `--json` says it has started. */
async function accepted(said: () => string): Promise<string> {
  for (;;) {
    const [first] = said().includes("\n") ? parseShown(said().slice(0, said().indexOf("\n"))) : [];
    if (first?.type === "accepted") return first.job;
    await Bun.sleep(5);
  }
}

describe("Stdin (D11)", () => {
  test("that ends at once does so for the program, which goes on", async () => {
    await using world = await setup();
    const line = "cat; echo end; echo more";
    expect(await world.farhand(["exec", "--shell", line], { stdin: "" })).toMatchObject({
      code: 0,
      stdout: "end\nmore\n",
    });
  });

  test("that is longer than a program reads ends with the program, whose code is the client's", async () => {
    await using world = await setup();
    for (const [program, code] of [
      ["exit 3", 3],
      ["head -c 10 >/dev/null; exit 4", 4],
    ] as const) {
      const line = `head -c 1G /dev/zero | farhand exec --shell '${program}'; exit \${PIPESTATUS[1]}`;
      expect(await world.shell(line)).toMatchObject({ code, stderr: "" });
    }
  });

  test("that a program closes does not stop it, and nobody else's", async () => {
    await using world = await setup();
    const line = `head -c 100M /dev/zero | farhand exec --shell 'exec 0<&-; sleep 0.3; echo done'; exit \${PIPESTATUS[1]}`;
    const [closed, other] = await Promise.all([
      world.shell(line),
      world.farhand(["exec", "--", "cat"], { stdin: "mine" }),
    ]);
    expect(closed).toMatchObject({ code: 0, stdout: "done\n", stderr: "" });
    expect(other).toMatchObject({ code: 0, stdout: "mine" });
  });
});

test("/dev/stdout, /dev/stderr and /proc/self/fd/1 can be opened by the program, confined or not (D12)", async () => {
  await using world = await setup();
  const line =
    "echo one | tee /dev/stderr; echo two > /dev/stdout; echo three > /proc/self/fd/1; echo four > /dev/stderr";
  for (const options of [[], ["--nice", "1"]])
    expect(await world.exec(line, ...options)).toMatchObject({
      code: 0,
      stdout: "one\ntwo\nthree\n",
      stderr: "one\nfour\n",
    });
});
