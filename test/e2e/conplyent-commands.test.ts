import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Pool } from "../../src/sdk.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const COMMANDS = resolve(import.meta.dir, "../fixtures/conplyent/commands.ts");

/** A world with a server that has conplyent's commands and more modules of these texts, and a connection of the SDK to it. */
async function setup(more: Readonly<Record<string, string>> = {}) {
  const world = openWorld();
  const at = (name: string) => join(world.home, name);
  for (const [name, text] of Object.entries(more)) writeFileSync(at(name), text);
  const files = [COMMANDS, ...Object.keys(more).map(at)];
  await world.start(...files.flatMap((file) => ["--extension", file]));
  const pool = new Pool({});
  const { url, token } = world.local();
  const connection = await pool.add(url, { token }).connect({ timeout: 20_000 });
  return {
    ...world,
    at,
    connection,
    async [Symbol.asyncDispose]() {
      await pool.close();
      await world[Symbol.asyncDispose]();
    },
  };
}

describe("of the custom commands that conplyent has,", () => {
  test("@register_command: echo is called from a shell, the console and a program, and said to nobody else", async () => {
    await using world = await setup();
    expect(await world.farhand(["echo", "hi"])).toMatchObject({ code: 0, stdout: "hi\n0\n" });
    expect(await world.farhand(["console"], { stdin: "echo hi\n" })).toMatchObject({
      code: 0,
      stdout: "hi\n0\n",
    });
    const said = await world.connection.call("echo", { string: "hi" });
    expect([...said]).toMatchObject([
      { type: "value", value: "hi" },
      { type: "result", value: 0 },
    ]);
    expect(said).toMatchObject({ result: 0 });
    expect((await world.farhand(["jobs", "--json"])).stdout).toContain('"jobs":[]');
  });

  test("@register_background_command: what is sent comes one by one, and KILL at last, after which it says more", async () => {
    await using world = await setup();
    const job = (await world.farhand(["shout", "-d", "?"])).stdout.trim();
    expect((await world.job(job)).state).toBe("running");
    expect(await world.farhand(["is-alive", job])).toMatchObject({ code: 0 });
    expect((await world.farhand(["send-input", job, "one\ntwo\n"])).code).toBe(0);
    expect((await world.farhand(["follow", job, "--until", "TWO"])).stdout).toBe("ONE?\nTWO?\n");
    expect((await world.farhand(["kill", job])).code).toBe(0);
    expect((await world.farhand(["follow", job])).stdout).toBe("ONE?\nTWO?\nbye\n");
    expect((await world.job(job)).outcome).toMatchObject({
      type: "cancelled",
      end: { type: "exited", code: 0 },
    });
    expect(await world.farhand(["send-input", job, "three\n"])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("Cannot send"),
    });
  });

  test("one that only waits for what is sent ends as soon as it is killed, without looking for that", async () => {
    await using world = await setup({
      "waits.ts": `import { writeFileSync } from "node:fs";
export default {
  name: "waits",
  kind: "background",
  summary: "Wait for lines",
  async run(_input, { lines, cwd }) {
    try {
      for await (const line of lines) writeFileSync(cwd + "/line", line);
    } finally {
      writeFileSync(cwd + "/cleaned", "");
    }
  },
};`,
    });
    const job = (await world.farhand(["waits", "-d"])).stdout.trim();
    expect((await world.farhand(["send-input", job, "one\n"])).code).toBe(0);
    await eventually(() => existsSync(world.at("line")));
    expect((await world.farhand(["kill", job])).stdout).toContain("SIGTERM");
    expect(existsSync(world.at("cleaned"))).toBe(true);
    expect((await world.job(job)).outcome).toMatchObject({
      type: "cancelled",
      end: { type: "exited", code: 0 },
    });
    expect(await world.farhand(["follow", job])).toMatchObject({ stdout: "" });
  });

  test("the end of its input ends one, which returns and leaves its code", async () => {
    await using world = await setup();
    const job = (await world.farhand(["shout", "-d"])).stdout.trim();
    expect((await world.farhand(["send-input", job, "last", "--eof"])).code).toBe(0);
    expect((await world.farhand(["wait", job])).code).toBe(0);
    const { outcome }: { readonly outcome?: unknown } = await world.job(job); // decoded
    expect(outcome).toEqual({ type: "returned", value: 0 });
    expect((await world.farhand(["follow", job])).stdout).toStartWith("LAST!\n");
  });

  test("update_client: anything that can be pickled arrives as it is", async () => {
    await using world = await setup();
    const said = await world.connection.call("anything", {});
    const ring: unknown[] = [1n << 70n];
    ring.push(ring);
    expect([...said].flatMap((packet) => (packet.type === "value" ? [packet.value] : []))).toEqual([
      new Map([[new Date(0), new Set([undefined, Number.NaN])]]),
      { ring, bytes: new Float64Array([0.5, Infinity]) },
    ]);
  });

  test("a name that nobody registered is answered at once, and not waited for", async () => {
    await using world = await setup();
    expect(await world.connection.call("nobody", {})).toMatchObject({ error: { code: "unknown_command" } });
    expect(await world.farhand(["nobody"])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("nobody"),
    });
  });

  test("names such as close and connect replace nothing of the client's, and a built-in's is refused", async () => {
    const named = (name: string) =>
      `export default { name: ${JSON.stringify(name)}, summary: "Says who it is", run: () => "mine" };`;
    await using world = await setup({
      "close.ts": named("close"),
      "connect.ts": named("connect"),
      "cd.ts": named("cd"),
    });
    expect(await world.connection.call("close", {})).toMatchObject({ result: "mine" });
    expect(await world.connection.call("connect", {})).toMatchObject({ result: "mine" });
    expect((await world.connection.cwd()).result).toEqual({ cwd: world.home });
    expect(await world.farhand(["cd", "/"])).toMatchObject({ code: 0, stdout: "/\n" });
    const { stdout, stderr } = await world.farhandd(["reload"]);
    expect(`${stdout}${stderr}`).toContain("there is a built-in command of that name");
  });

  test("one in the foreground holds up nobody else", async () => {
    await using world = await setup({
      "waits.ts": `import { existsSync, writeFileSync } from "node:fs";
export default {
  name: "wait-for-file",
  summary: "Wait for a file",
  async run(_input, { cwd }) {
    writeFileSync(cwd + "/begun", "");
    while (!existsSync(cwd + "/go")) await Bun.sleep(10);
    return "gone";
  },
};`,
    });
    const waiting = world.open(["farhand", "wait-for-file"]);
    await eventually(() => existsSync(world.at("begun")));
    expect(await world.farhand(["echo", "meanwhile"])).toMatchObject({ code: 0 });
    expect(await world.connection.call("echo", { string: "also" })).toMatchObject({ result: 0 });
    writeFileSync(world.at("go"), "");
    expect(await waiting.ran).toMatchObject({ code: 0, stdout: "gone\n" });
  });
});
