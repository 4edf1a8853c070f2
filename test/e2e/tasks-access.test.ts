import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, chmodSync } from "node:fs";
import { join } from "node:path";
import { ACCOUNT, asRoot, openOtherWorld } from "../support/account.ts";
import { openCallers } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { COUNTER, writeModule } from "../support/tasks.ts";

setDefaultTimeout(120_000);

const ROLES = `
  [roles.builder]
  permissions = ["read", "exec"]
  [roles.asker]
  permissions = ["read", "exec"]
  commands = ["task-exec", "task-await", "task-list"]
  all_jobs = true
  [roles.limited]
  permissions = ["read", "exec"]
  limits = { time = "2s", jobs = 1 }
`;

describe("A task", () => {
  test("is its owner's, and whoever sees all jobs may use it as far as his role lets him", async () => {
    await using callers = await openCallers(ROLES);
    const { world, farhandAs } = callers;
    const counter = writeModule(world, "counter.ts", COUNTER);
    const [owner, stranger, asker, admin] = await Promise.all([
      callers.createToken("owner", "builder"),
      callers.createToken("stranger", "builder"),
      callers.createToken("asker", "asker"),
      callers.createToken("admin", "admin"),
    ]);
    const exec = ["task", "exec", "counter", "--await"];
    expect(await farhandAs(owner, ["task", "start", "counter", counter])).toMatchObject({ code: 0 });
    expect((await farhandAs(owner, exec)).stdout).toBe("1\n");
    expect((await farhandAs(stranger, exec)).stderr).toContain('Cannot find task "counter"');
    for (const verb of ["show", "stop", "restart"])
      expect((await farhandAs(stranger, ["task", verb, "counter"])).stderr).toContain("Cannot find task");
    expect((await farhandAs(stranger, ["task", "list"])).stdout).toBe("No tasks\n");
    // A name is taken all the same, and not to be swapped by him.
    const swap = await farhandAs(stranger, ["task", "start", "counter", counter, "--replace"]);
    expect(swap.stderr).toContain("there is one of that name");
    expect((await farhandAs(asker, exec)).stdout).toBe("2\n");
    expect((await farhandAs(asker, ["task", "stop", "counter"])).stderr).toContain("permission");
    expect((await farhandAs(admin, exec)).stdout).toBe("3\n");
    expect((await farhandAs(admin, ["task", "stop", "counter"])).code).toBe(0);
  });

  test("is seen, and asked, with the narrowed token that it was started with, and with no other", async () => {
    await using callers = await openCallers(ROLES);
    const { world, farhandAs } = callers;
    const counter = writeModule(world, "counter.ts", COUNTER);
    const owner = await callers.createToken("owner", "builder");
    const [one, other] = [
      await callers.narrow(owner, "--expires", "1h"),
      await callers.narrow(owner, "--expires", "2h"),
    ];
    expect(await farhandAs(one, ["task", "start", "counter", counter])).toMatchObject({ code: 0 });
    expect((await farhandAs(one, ["task", "exec", "counter", "--await"])).stdout).toBe("1\n");
    expect((await farhandAs(other, ["task", "exec", "counter"])).stderr).toContain("Cannot find task");
    expect((await farhandAs(owner, ["task", "exec", "counter", "--await"])).stdout).toBe("2\n");
  });

  test("has its role's limits, is ended by them for good, and counts as a job of its owner's", async () => {
    await using callers = await openCallers(ROLES);
    const { world, farhandAs } = callers;
    const counter = writeModule(world, "counter.ts", COUNTER);
    const limited = await callers.createToken("limited", "limited");
    const start = (name: string) =>
      farhandAs(limited, ["task", "start", name, counter, "--restart", "on-failure"]);
    expect(await start("counter")).toMatchObject({ code: 0 });
    expect((await start("second")).stderr).toContain("lets you have 1 at once");
    await eventually(
      async () => (await farhandAs(limited, ["task", "show", "counter"])).stdout.includes("failed"),
      30_000,
    );
    expect((await farhandAs(limited, ["task", "exec", "counter"])).stderr).toContain("timed_out");
    expect(await start("second")).toMatchObject({ code: 0 });
  });

  test("stands in the audit log: who started, asked and stopped it, and nothing of what it was told", async () => {
    await using callers = await openCallers(ROLES);
    const { world, farhandAs } = callers;
    const counter = writeModule(world, "counter.ts", COUNTER);
    const owner = await callers.createToken("owner", "builder");
    await farhandAs(owner, ["task", "start", "counter", counter, "--restart", "on-failure"]);
    await farhandAs(owner, ["task", "exec", "counter", '{"note":"tell nobody"}']);
    await farhandAs(owner, ["task", "exec", "counter", '{"code":3}']);
    await eventually(async () => (await farhandAs(owner, ["task", "exec", "counter"])).code === 0, 30_000);
    await farhandAs(owner, ["task", "stop", "counter"]);
    const { stdout } = await world.farhandd(["audit", "show"]);
    for (const word of [
      "task-start",
      "task-exec",
      "task-stop",
      "job_ended",
      'start task \\"counter\\" again',
    ])
      expect(stdout.replaceAll("'", '"')).toMatch(
        new RegExp(word.replaceAll("\\", "\\\\?").replaceAll('"', ".{0,2}")),
      );
    expect(stdout).not.toContain("tell nobody");
  });
});

describe("A task in a role with run_as", () => {
  asRoot("is that user's, also when it is started again, and reads nothing of the server's", async () => {
    await using world = await openOtherWorld();
    const spy = writeModule(
      world,
      "spy.ts",
      `
      import { readFileSync, readdirSync } from "node:fs";
      const attempt = (act) => { try { return String(act()); } catch (error) { return error.code; } };
      export default {
        init: () => 0,
        exec(context, count, args) {
          if (args === "die") process.exit(1);
          context.respond({
            ids: [process.getuid(), process.getgid()],
            state: attempt(() => readdirSync(args)),
            tokens: attempt(() => readFileSync(args + "/local.json")),
            env: Object.keys(process.env).filter((name) => /FARHAND_(?!JOB)|BUN|TOKEN/.test(name)),
            cwd: process.cwd(),
          });
          return count + 1;
        },
      };`,
    );
    chmodSync(spy, 0o644);
    chownSync(join(world.home, "spy.ts"), ACCOUNT.uid, ACCOUNT.gid);
    const ask = async () =>
      JSON.parse(
        (await world.other(["task", "exec", "spy", JSON.stringify(world.state), "--await", "--json"])).stdout,
      );
    expect(await world.other(["task", "start", "spy", spy, "--restart", "on-failure"])).toMatchObject({
      code: 0,
    });
    const seen = {
      ids: [ACCOUNT.uid, ACCOUNT.gid],
      state: "EACCES",
      tokens: "EACCES",
      env: [],
      cwd: world.room,
    };
    expect(await ask()).toMatchObject({ value: seen });
    expect((await world.other(["task", "exec", "spy", '"die"'])).code).not.toBe(0);
    expect(await ask()).toMatchObject({ value: seen, restarts: 1 });
  });
});
