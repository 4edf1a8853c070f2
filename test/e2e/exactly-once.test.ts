import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Pool } from "../../src/sdk.ts";
import type { Faults } from "../support/proxy-connection.ts";
import { eventually } from "../support/eventually.ts";
import { openProxy } from "../support/proxy.ts";
import { RawClient } from "../support/raw.ts";
import { Random } from "../support/random.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(180_000);

async function setup() {
  const world = openWorld();
  const status = await world.start();
  const address = String(status.listen[0]);
  const token = world.local().token;
  const killFront = async () => {
    const { pid } = await world.status();
    process.kill(pid, "SIGKILL");
    await eventually(() => !isRunning(pid), 30_000);
  };
  const lines = (name: string) => readFileSync(join(world.home, name), "utf8").split("\n").filter(Boolean);
  return { ...world, address, token, killFront, lines };
}

/** Bytes of a whole connection that runs a short command, and a little more, so that cuts near its end are among them. */
const BYTES = { toServer: 1_300, toClient: 2_000 };

describe("A call whose command appends a line", () => {
  test("cut at 200 random offsets leaves one line and one answer each time", async () => {
    await using world = await setup();
    writeFileSync(join(world.home, "ran"), "");
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = new Random(seed);
    const cut = (round: number): Faults => {
      const cutBy = random.next() < 0.5 ? "fin" : "reset";
      return round % 2 === 0
        ? { cutToServer: Math.floor(random.next() * BYTES.toServer), cutBy }
        : { cutToClient: Math.floor(random.next() * BYTES.toClient), cutBy };
    };
    let cuts = 0;
    for (let round = 0; round < 200; round++) {
      const fault = cut(round);
      await using proxy = await openProxy(world.address, (connection) => (connection === 0 ? fault : {}));
      const script = `echo ${round} >> ran; echo answer; exit 3`;
      const words = ["-H", proxy.address, "--connect-timeout", "20s", "exec", "--shell", script];
      const ran = await world.farhand(words, { env: { FARHAND_TOKEN: world.token } });
      const context = { seed, round, fault };
      expect({ ...context, ...ran }).toMatchObject({ code: 3, stdout: "answer\n", stderr: "" });
      if (proxy.connections.length > 1) cuts++;
    }
    expect({ seed, lines: world.lines("ran") }).toEqual({
      seed,
      lines: Array.from({ length: 200 }, (_, round) => String(round)),
    });
    // Many offsets lie within what the connection carries, and behind the upgrade, where a call may be under way.
    expect(cuts).toBeGreaterThan(60);
  });

  test("whose server is killed at 20 random moments leaves one line and one answer each time", async () => {
    await using world = await setup();
    for (let round = 0; round < 20; round++) {
      const script = `echo ${round} >> ran; sleep 0.05; echo answer; exit 3`;
      const client = world.open(["farhand", "--connect-timeout", "20s", "exec", "--shell", script]);
      const { pid } = await world.status();
      await Bun.sleep(Math.random() * 60);
      process.kill(pid, "SIGKILL");
      await eventually(() => !isRunning(pid), 30_000);
      await world.start("--listen", world.address);
      expect(await client.ran).toMatchObject({ code: 3, stdout: "answer\n", stderr: "" });
    }
    expect(world.lines("ran")).toEqual(Array.from({ length: 20 }, (_, round) => String(round)));
  });
});

describe("A foreground call under which the server is restarted", () => {
  test("is answered by the next one if repeating it does no harm", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "while [ ! -e go ]; do sleep 0.02; done; exit 6");
    const waiting = world.open(["farhand", "wait", job]);
    const asked = async () => (await world.farhandd(["audit", "show", "--json", "--event", "call"])).stdout;
    await eventually(async () => (await asked()).includes('"command":"wait"'), 30_000);
    await world.killFront();
    await world.start();
    writeFileSync(join(world.home, "go"), "");
    expect((await waiting.ran).code).toBe(6);
  });

  test("fails as outcome_unknown if it might, and is not repeated", async () => {
    await using world = await setup();
    const script = "trap 'echo told >> told' TERM; : > ready; while :; do sleep 0.02; done";
    const job = await world.detach("--shell", script);
    await eventually(() => Bun.file(join(world.home, "ready")).exists(), 30_000);
    const killing = world.open(["farhand", "kill", "--json", "--grace", "1h", job]);
    await eventually(() => Bun.file(join(world.home, "told")).exists(), 30_000);
    await world.killFront();
    await world.start();
    const { code, stdout } = await killing.ran;
    expect([code, JSON.parse(stdout)]).toMatchObject([125, { type: "error", code: "outcome_unknown" }]);
    expect(world.lines("told")).toEqual(["told"]);
  });
});

describe("A session's token", () => {
  const resume = ({ session, generation, resume: token }: Record<string, unknown>) => ({
    resume: { session, generation, token },
    received: 0,
  });

  test("proves it once the next one is in use, and then no more: whoever shows it gets a session of his own", async () => {
    await using world = await setup();
    const target = { url: `http://${world.address}`, token: world.token };
    using first = await RawClient.upgrade(target);
    first.hello();
    const welcome = await first.control("welcome");
    using second = await RawClient.upgrade(target);
    second.hello(resume(welcome));
    const resumed = await second.control("welcome");
    expect([resumed["session"], resumed["generation"]]).toEqual([welcome["session"], 2]);
    expect(await first.ended).toMatchObject({ type: "closed", code: 4410 });

    // The second greeting may have been lost: until somebody speaks under it, the first proof still holds.
    using third = await RawClient.upgrade(target);
    third.hello(resume(welcome));
    const again = await third.control("welcome");
    expect([again["session"], again["generation"]]).toEqual([welcome["session"], 3]);
    third.text({ type: "beat" });
    third.call(1, "ping");
    await third.control("result");

    for (const proof of [welcome, resumed]) {
      using thief = await RawClient.upgrade(target);
      thief.hello(resume(proof));
      expect((await thief.control("welcome"))["session"]).not.toBe(welcome["session"]);
    }
    third.call(2, "ping");
    await third.control("result");
  });
});

describe("500 clients", () => {
  test("whose server is restarted are all served by the next one", async () => {
    await using world = await setup();
    const connections = await Promise.all(
      Array.from({ length: 500 }, () => {
        const member = new Pool({ FARHAND_STATE: world.state }).add(world.address);
        return member.connect({ timeout: 60_000 });
      }),
    );
    const states: string[] = [];
    const [watched] = connections;
    watched?.onState(({ state }) => states.push(state));
    const job = await watched?.start({ shell: "while [ ! -e go ]; do sleep 0.02; done; exit 6" });
    const waiting = connections.map((connection) => connection.wait(job?.job ?? ""));
    await world.killFront();
    const answers = connections.map((connection) => connection.ping());
    await world.start("--listen", world.address);
    await Promise.all(answers);
    writeFileSync(join(world.home, "go"), "");
    const outcomes = await Promise.all(waiting);
    expect(outcomes.map(({ result }) => result?.outcome)).toEqual(
      outcomes.map(() => ({ type: "exited", code: 6 })),
    );
    expect(states).toEqual(["reconnecting", "connected"]);
    await Promise.all(connections.map((connection) => connection[Symbol.asyncDispose]()));
    expect(states).toEqual(["reconnecting", "connected", "closed"]);
  });
});
