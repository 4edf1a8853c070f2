import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";
import { testIf } from "../support/test-if.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  /** Starts an attached job in the background, and resolves once it has said `ready`. */
  const attach = async (line: string) => {
    const client = world.open(["farhand", "exec", "--shell", line]);
    await eventually(() => client.said().startsWith("ready\n"), 30_000);
    return client;
  };
  const isGone = (pattern: RegExp) => eventually(() => world.processes(pattern).length === 0, 30_000);
  return { ...world, attach, isGone };
}

const traps = `for s in INT TERM HUP; do trap "echo got $s; exit 6" $s; done`;

describe("The first signal to the client", () => {
  test("reaches the job as that signal, and the client exits with the job's outcome", async () => {
    await using world = await setup();
    for (const name of ["INT", "TERM", "HUP"] as const) {
      const client = await world.attach(`${traps}; echo ready; while :; do sleep 0.02; done`);
      client.kill(`SIG${name}`);
      expect(await client.ran).toMatchObject({ code: 6, stdout: `ready\ngot ${name}\n` });
    }
  });

  test("ends a job that does not care by that signal", async () => {
    await using world = await setup();
    for (const [name, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
      ["SIGHUP", 129],
    ] as const) {
      const client = await world.attach("echo ready; exec sleep 1000");
      client.kill(name);
      expect(await client.ran).toMatchObject({ code, stderr: "" });
      expect((await world.job("@last")).outcome).toEqual({ type: "signaled", signal: name });
    }
    await world.isGone(/^sleep 1000/);
  });

  test("reaches the whole process group", async () => {
    await using world = await setup();
    const client = await world.attach("sleep 1000 & sleep 1000 & echo ready; wait");
    client.kill("SIGTERM");
    expect((await client.ran).code).toBe(143);
    await world.isGone(/^sleep 1000/);
  });
});

describe("The second signal to the client", () => {
  test("cancels a job that ignores the first", async () => {
    await using world = await setup();
    const client = await world.attach(
      "trap 'echo ignored' INT; trap 'echo bye; exit 1' TERM; echo ready; while :; do sleep 0.02; done",
    );
    client.kill("SIGINT");
    await eventually(() => client.said().includes("ignored"), 30_000);
    client.kill("SIGINT");
    const { code, stdout } = await client.ran;
    expect([code, stdout]).toEqual([130, "ready\nignored\nbye\n"]);
    expect((await world.job("@last")).outcome).toMatchObject({
      type: "cancelled",
      end: { type: "exited", code: 1 },
    });
  });

  test("ends a job that ignores everything by KILL after the grace", async () => {
    await using world = await setup();
    const client = await world.attach(
      "trap '' TERM; trap 'echo ignored' INT; echo ready; while :; do sleep 0.02; done",
    );
    client.kill("SIGINT");
    await eventually(() => client.said().includes("ignored"), 30_000);
    client.kill("SIGTERM");
    expect((await client.ran).code).toBe(130);
    expect((await world.job("@last")).outcome).toMatchObject({
      type: "cancelled",
      end: { type: "signaled", signal: "SIGKILL" },
    });
  });
});

test("timeout farhand exec -- sleep leaves no process behind", async () => {
  await using world = await setup();
  const { code } = await world.shell("timeout 2 farhand exec -- sleep 60");
  expect(code).toBe(124);
  await world.isGone(/^sleep 60|farhand exec/);
});

test("A client that nohup told to ignore SIGHUP does", async () => {
  await using world = await setup();
  const script = "trap '' HUP; exec farhand exec --shell 'echo ready; sleep 0.5; echo done'";
  const client = world.open(["bash", "-c", script]);
  await eventually(() => client.said().startsWith("ready\n"), 30_000);
  client.kill("SIGHUP");
  expect(await client.ran).toMatchObject({ code: 0, stdout: "ready\ndone\n" });
});

testIf(process.platform === "linux", "only Linux has real-time signals")(
  "A death by a real-time signal has its name, and 128 and its number as exit code",
  async () => {
    await using world = await setup();
    const { code } = await world.farhand(["exec", "--", "bash", "-c", "kill -RTMIN $$; sleep 60"]);
    expect(code).toBe(128 + 34);
    for (const name of ["RTMIN+3", "37"]) {
      const job = await world.detach("--", "sleep", "1000");
      expect(await world.farhand(["kill", "-s", name, job])).toMatchObject({ code: 0, stderr: "" });
      expect((await world.farhand(["wait", job])).code).toBe(128 + 37);
      expect((await world.job(job)).outcome).toEqual({ type: "signaled", signal: "SIGRTMIN+3" });
    }
  },
);

describe("kill", () => {
  test("ends a job by TERM to its group, and records who cancelled it", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "sleep 1000 & sleep 1000");
    await eventually(() => world.processes(/^sleep 1000/).length === 2, 30_000);
    expect(await world.farhand(["kill", job])).toMatchObject({ code: 0, stderr: "" });
    await world.isGone(/^sleep 1000/);
    expect((await world.job(job)).outcome).toMatchObject({
      type: "cancelled",
      end: { type: "signaled", signal: "SIGTERM" },
    });
    expect((await world.farhand(["wait", job])).code).toBe(130);
  });

  test("--grace ends a job that traps TERM by KILL", async () => {
    await using world = await setup();
    const client = await world.attach("trap '' TERM; echo ready; while :; do sleep 0.02; done");
    expect((await world.farhand(["kill", "--grace", "200ms", "@last"])).code).toBe(0);
    expect((await client.ran).code).toBe(130);
    expect((await world.job("@last")).outcome).toMatchObject({
      type: "cancelled",
      end: { type: "signaled", signal: "SIGKILL" },
    });
  });

  test("--signal only sends the signal", async () => {
    await using world = await setup();
    const client = await world.attach(
      "trap 'echo got' USR1; echo ready; while [ ! -e go ]; do sleep 0.02; done",
    );
    expect((await world.farhand(["kill", "--signal", "USR1", "@last"])).code).toBe(0);
    await eventually(() => client.said() === "ready\ngot\n", 30_000);
    expect((await world.farhand(["kill", "-s", "KILL", "@last"])).code).toBe(0);
    expect((await client.ran).code).toBe(137);
    expect((await world.job("@last")).outcome).toEqual({ type: "signaled", signal: "SIGKILL" });
  });

  test("refuses a job that is not known, with one sentence and 125", async () => {
    await using world = await setup();
    const { code, stderr } = await world.farhand(["kill", "17"]);
    expect([code, stderr]).toEqual([125, expect.stringMatching(/^farhand: .*17.*\n$/)]);
  });
});
