import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const isGone = (pattern: RegExp) => eventually(() => world.processes(pattern).length === 0, 30_000);
  const isOver = (ref: string) => eventually(async () => (await world.job(ref)).state === "closed", 30_000);
  return { ...world, isGone, isOver };
}

describe("A reader that goes away", () => {
  test("ends the program by SIGPIPE, and the client quietly", async () => {
    await using world = await setup();
    const { stdout, stderr } = await world.shell(
      "farhand exec -- yes | head -2000 | wc -l; echo ${PIPESTATUS[0]}",
    );
    expect([stdout, stderr]).toEqual(["2000\n141\n", ""]);
    await world.isGone(/^yes /);
    await world.isOver("@last");
    expect((await world.job("@last")).outcome).toEqual({ type: "signaled", signal: "SIGPIPE" });
  });

  test("of stderr alone ends only what writes there", async () => {
    await using world = await setup();
    const { stdout, stderr } = await world.shell(
      "farhand exec --shell 'yes >&2; echo survived' 2> >(head -1 > first); echo $?; cat first",
    );
    expect([stdout, stderr]).toEqual(["survived\n0\ny\n", ""]);
  });

  test("lets a program that ignores it carry on to its own exit code", async () => {
    await using world = await setup();
    const job = "trap '' PIPE; while echo line; do :; done 2>&-; exit 9";
    const { stdout } = await world.shell(
      `farhand exec -- bash -c "${job}" | head -1; echo \${PIPESTATUS[0]}`,
    );
    expect(stdout).toBe("line\n9\n");
  });

  test("of follow ends the reading quietly, and leaves the job alone", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "while sleep 0.01; do echo line; done");
    const { stdout, stderr } = await world.shell(`farhand follow ${job} | head -3; echo \${PIPESTATUS[0]}`);
    expect([stdout, stderr]).toEqual(["line\nline\nline\n141\n", ""]);
    expect(await world.job(job)).toMatchObject({ state: "running" });
  });
});

describe("A program", () => {
  test("that closes stdout and writes to stderr two seconds later is heard on both", async () => {
    await using world = await setup();
    const job = "echo out; exec >&-; sleep 2; echo err >&2; exit 3";
    const ran = await world.farhand(["exec", "--", "sh", "-c", job]);
    expect(ran).toMatchObject({ code: 3, stdout: "out\n", stderr: "err\n" });
  });

  test("can open /dev/stdout and /dev/stderr as in a terminal", async () => {
    await using world = await setup();
    const tee = await world.farhand(["exec", "--", "tee", "/dev/stderr"], { stdin: "both\n" });
    expect(tee).toMatchObject({ code: 0, stdout: "both\n", stderr: "both\n" });
    const again = await world.farhand(["exec", "--shell", "echo 1 > /dev/stdout; echo 2 >> /proc/self/fd/2"]);
    expect(again).toMatchObject({ code: 0, stdout: "1\n", stderr: "2\n" });
    const input = await world.farhand(["exec", "--", "cat", "/dev/stdin"], { stdin: "in\n" });
    expect(input).toMatchObject({ code: 0, stdout: "in\n" });
  });

  test("that writes nothing and closes both streams still ends with its own code", async () => {
    await using world = await setup();
    const ran = await world.farhand(["exec", "--", "sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 4"]);
    expect(ran).toMatchObject({ code: 4, stdout: "", stderr: "" });
  });

  test("that ends without reading its input is not held up by the rest of it", async () => {
    await using world = await setup();
    const { stdout } = await world.shell("yes | farhand exec -- head -1; echo ${PIPESTATUS[1]}");
    expect(stdout).toBe("y\n0\n");
    const idle = await world.shell("farhand exec -- true < <(exec sleep 1000 2>&-); echo $?");
    expect(idle.stdout).toBe("0\n");
  });

  test("that closes its stdin early goes on, and the client with it", async () => {
    await using world = await setup();
    const { stdout } = await world.shell(
      "yes | farhand exec --shell 'exec <&-; sleep 0.3; echo done; exit 6'; echo ${PIPESTATUS[1]}",
    );
    expect(stdout).toBe("done\n6\n");
  });
});

describe("The client", () => {
  test("that cannot write its stdout says so and exits with 74", async () => {
    await using world = await setup();
    for (const args of ["exec -- seq 1 200000", "exec -- echo short", "jobs", "exec -d -- true", "--help"]) {
      const { code, stderr } = await world.shell(`farhand ${args} > /dev/full`);
      expect([args, code, stderr]).toEqual([
        args,
        74,
        expect.stringMatching(/^farhand: Cannot write to stdout: no space is left on the device.*\n$/),
      ]);
    }
  });

  test("works without stdin, stdout or stderr", async () => {
    await using world = await setup();
    expect(await world.shell("farhand exec -- echo here <&-")).toMatchObject({ code: 0, stdout: "here\n" });
    expect((await world.shell("farhand exec -- sh -c 'exit 3' <&- >&- 2>&-")).code).toBe(3);
  });
});

describe("A background grandchild", () => {
  test("that keeps the pipe open does not hold back the exit code, and is recorded", async () => {
    await using world = await setup();
    const job = "(while [ ! -e go ]; do sleep 0.02; done; echo late) & echo now; exit 5";
    const ran = await world.farhand(["exec", "--shell", job]);
    expect(ran).toMatchObject({ code: 5, stdout: "now\n" });
    expect(await world.job("@last")).toMatchObject({ state: "exited", outcome: { type: "exited", code: 5 } });
    expect((await world.farhand(["wait", "@last"])).code).toBe(5);

    writeFileSync(join(world.home, "go"), "");
    expect(await world.farhand(["follow", "@last"])).toMatchObject({ code: 5, stdout: "now\nlate\n" });
    expect(await world.job("@last")).toMatchObject({ state: "closed" });
  });

  test("goes with its job when that is killed after its leader has exited", async () => {
    await using world = await setup();
    await world.farhand(["exec", "--shell", "sleep 1000 & exit 0"]);
    expect((await world.farhand(["kill", "@last"])).code).toBe(0);
    await world.isGone(/^sleep 1000/);
    expect(await world.job("@last")).toMatchObject({ outcome: { type: "exited", code: 0 } });
  });
});
