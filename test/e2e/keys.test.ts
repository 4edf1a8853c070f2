import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  /** Appends a line, so that it shows how often it ran. */
  const append = ["--shell", `echo ran >> '${join(world.home, "runs")}'; echo said; exit 3`];
  const runs = () => readFileSync(join(world.home, "runs"), "utf8").split("\n").length - 1;
  const kill = async (pid = 0) => {
    process.kill(pid, "SIGKILL");
    await eventually(() => !isRunning(pid), 30_000);
  };
  return { ...world, append, runs, kill };
}

describe("exec --key", () => {
  test("runs once, and answers each later call with the first job's output and code", async () => {
    await using world = await setup();
    const ran = await Promise.all(
      Array.from({ length: 8 }, () => world.farhand(["exec", "--key", "k", ...world.append])),
    );
    for (const each of ran) expect(each).toMatchObject({ code: 3, stdout: "said\n", stderr: "" });
    expect(await world.detach("--key", "k", ...world.append)).toBe((await world.job("1")).id);
    expect(world.runs()).toBe(1);
    expect(await world.job("1")).toMatchObject({ key: "k" });
  });

  test("refuses what is no key in a sentence", async () => {
    await using world = await setup();
    for (const [key, why] of [
      ["", "is empty"],
      ["k".repeat(1_000), "has more than 255 characters"],
    ] as const)
      expect(await world.farhand(["exec", "--key", key, "--", "true"])).toMatchObject({
        code: 125,
        stderr: `farhand: Cannot call "exec": the input at "key" ${why}\n`,
      });
  });

  test("remembers across kill -9 of front and keeper", async () => {
    await using world = await setup();
    const job = await world.detach("--key", "k", ...world.append);
    await world.farhand(["wait", job]);
    const { pid, keepers } = await world.status();
    await world.kill(pid);
    await world.kill(keepers[0]?.pid);
    await world.start();
    expect(await world.detach("--key", "k", ...world.append)).toBe(job);
    expect(world.runs()).toBe(1);
  });

  test("runs once for three clients at once whose server is killed meanwhile", async () => {
    await using world = await setup();
    for (let round = 0; round < 5; round++) {
      const script = `echo x >> ran${round}; seq 1 1000; exit 3`;
      const words = ["farhand", "--connect-timeout", "20s", "exec", "--key", `k${round}`, "--shell", script];
      const clients = [world.open(words), world.open(words), world.open(words)];
      await Bun.sleep(round * 15);
      const { pid } = await world.status();
      await world.kill(pid);
      await world.start();
      const whole = Array.from({ length: 1_000 }, (_, i) => `${i + 1}\n`).join("");
      for (const client of clients)
        expect(await client.ran).toEqual({ code: 3, signal: null, stdout: whole, stderr: "" });
      expect(readFileSync(join(world.home, `ran${round}`), "utf8")).toBe("x\n");
    }
  });

  test("refuses another command as key_conflict, naming the job that has the key", async () => {
    await using world = await setup();
    await world.farhand(["exec", "--key", "k", "--", "true"]);
    for (const other of [
      ["--", "true", "x"],
      ["--cwd", "/", "--", "true"],
    ]) {
      const refused = await world.farhand(["exec", "--json", "--key", "k", ...other]);
      expect(refused.code).toBe(125);
      expect(JSON.parse(refused.stdout)).toMatchObject({ code: "key_conflict", details: { number: 1 } });
    }
    expect((await world.farhand(["exec", "--key", "other", "--", "true", "x"])).code).toBe(0);
  });

  test("starts anew where the first job never started", async () => {
    await using world = await setup();
    const program = join(world.home, "program");
    expect((await world.farhand(["exec", "--key", "k", "--", program])).code).toBe(127);
    await Bun.write(program, "#!/bin/sh\nexit 5\n");
    await world.shell(`chmod +x '${program}'`);
    expect((await world.farhand(["exec", "--key", "k", "--", program])).code).toBe(5);
    expect((await world.farhand(["exec", "--key", "k", "--", program])).code).toBe(5);
    expect((await world.status()).jobs.total).toBe(2);
  });

  test("gives the first job's stdin to nobody twice: a second call goes on where the first one ended", async () => {
    await using world = await setup();
    const feed = (stdin: string) => world.farhand(["exec", "--key", "k", "--", "cat"], { stdin });
    expect(await feed("once\n")).toMatchObject({ code: 0, stdout: "once\n" });
    expect(await feed("once\n")).toMatchObject({ code: 0, stdout: "once\n" });
  });
});
