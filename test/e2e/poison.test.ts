import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_JSON_DEPTH } from "../../src/protocol/limits.ts";
import { eventually } from "../support/eventually.ts";
import { openGauge } from "../support/memory.ts";
import { RawClient } from "../support/raw.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(120_000);

const MiB = 1024 * 1024;

/** Ways to say more than an answer that tells of it has room for: JSON within the bounds, which it is not within anything else. */
const MODULE = `
  import { writeSync } from "node:fs";
  import { AppError, defineCommand, v } from "farhand";

  const nested = (depth) => "[".repeat(depth) + "]".repeat(depth);
  const wide = "[" + Array(1040).fill('{"999":0}').join() + "]";
  const texts = {
    "deep-value": '{"type":"returned","value":{"encoding":"json","value":' + nested(${MAX_JSON_DEPTH - 3}) + "}}",
    "deep-error": '{"type":"threw","error":{"code":"threw","message":"m","details":{"x":' + nested(${MAX_JSON_DEPTH - 4}) + "}}}",
    "wide-value": '{"type":"returned","value":{"encoding":"json","value":' + wide + "}}",
  };
  const say = (fd, kind, payload) => {
    const header = Buffer.alloc(5);
    header.writeUInt32BE(payload.length);
    header[4] = kind;
    writeSync(fd, Buffer.concat([header, payload]));
  };
  const deep = (depth) => JSON.parse(nested(depth));

  export default [
    ...Object.entries(texts).map(([name, text]) =>
      defineCommand({
        name, kind: "background", summary: "x",
        async *run() { say(3, 2, Buffer.from(text)); process.exit(0); },
      })),
    defineCommand({ name: "forge", summary: "x", async run() {
      for (const fd of [3, 4]) try { say(fd, 11, Buffer.from(nested(${MAX_JSON_DEPTH}))); } catch {}
      await new Promise(() => {});
    } }),
    defineCommand({ name: "fail", summary: "x", run() { throw new AppError("not_found", "No", { details: { x: deep(500) } }); } }),
    defineCommand({ name: "fail-job", kind: "background", summary: "x",
      async *run() { throw new AppError("not_found", "No", { details: { x: deep(62) } }); } }),
    defineCommand({ name: "large-record", summary: "x", async run() {
      const header = Buffer.from([0x01, 0, 0, 0, 10]);
      for (const fd of [3, 4]) try {
        writeSync(fd, header);
        for (let n = 0; n < 255; n++) writeSync(fd, new Uint8Array(65_536));
      } catch {}
      await new Promise(() => {});
    } }),
  ];`;

async function setup() {
  const world = openWorld();
  mkdirSync(join(world.state, "commands"), { recursive: true, mode: 0o700 });
  writeFileSync(join(world.state, "commands/poison.ts"), MODULE, { mode: 0o600 });
  const { pid } = await world.start();
  return { ...world, pid };
}

test("a job whose end no answer has room for is one that failed: it is listed, shown and removed, and hides no other", async () => {
  await using world = await setup();
  expect((await world.farhand(["exec", "--", "true"])).code).toBe(0);
  for (const name of ["deep-value", "deep-error", "wide-value", "fail-job"]) {
    await world.farhand(["call", "-d", name]);
    const waited = await world.farhand(["wait", "@last"]);
    expect([name, waited.stderr]).toEqual([name, ""]);
  }
  for (const args of [["jobs"], ["jobs", "--json"], ["jobs", "1", "2", "3", "4", "5"], ["follow", "3"]])
    expect([args, (await world.farhand(args)).stderr.includes("control frame")]).toEqual([args, false]);
  expect((await world.farhand(["jobs"])).stdout.trim().split("\n")).toHaveLength(6);
  for (const job of ["2", "3", "4", "5"]) {
    expect(await world.farhand(["job", "show", job])).toMatchObject({ code: 0, stderr: "" });
    expect((await world.farhand(["result", job])).code).not.toBe(125);
    expect(await world.farhand(["job", "remove", job])).toMatchObject({ code: 0 });
  }
});

test("what says of a job anything that its listing has no room for is refused", async () => {
  await using world = await setup();
  const info = (depth: number) => [
    "exec",
    "--info",
    `${"[".repeat(depth)}${"]".repeat(depth)}`,
    "--",
    "true",
  ];
  const refused = await world.farhand(info(MAX_JSON_DEPTH - 4));
  expect(refused.code).toBe(125);
  expect(refused.stderr).toContain("info");
  expect(refused.stderr).toContain("nested deeper than 48 levels");
  expect((await world.farhand(info(48))).code).toBe(0);
  expect((await world.farhand(["jobs"])).code).toBe(0);
});

test("an answer of a command's process that its caller's session would break on fails that call alone", async () => {
  await using world = await setup();
  const failed = await world.farhand(["call", "fail", "--json"]);
  expect(JSON.parse(failed.stdout)).toMatchObject({ type: "error", code: "not_found", message: "No" });
  using client = await RawClient.open(world.local());
  client.call(1, "forge");
  expect(await client.control("failed")).toMatchObject({ call: 1, error: { code: "crashed" } });
  client.call(2, "ping");
  expect(await client.control("result")).toMatchObject({ call: 2 });
});

test("a frame of which the engine would make a thousand times as much is refused, and costs the front little", async () => {
  await using world = await setup();
  await world.farhand(["exec", "--", "true"]);
  using gauge = openGauge([world.pid]);
  for (const item of ['{"999":0}', '{"\\u0039\\u0039\\u0039":0}', "[]", "{}"]) {
    using client = await RawClient.open(world.local());
    const items = Array(Math.floor(900_000 / (item.length + 1))).fill(item);
    client.text(
      `{"type":"call","seq":1,"call":1,"command":"ping","input":{"encoding":"json","value":[${items.join()}]}}`,
    );
    expect(await client.ended).toMatchObject({ type: "closed", code: 4400 });
  }
  // What is collected now and then; it was 900 MiB.
  expect(gauge.peaks()[0]).toBeLessThan(32 * MiB);
});

test("CBOR whose keys are small numbers takes no place for each number before them", async () => {
  await using world = await setup();
  await world.farhand(["exec", "--", "true"]);
  using client = await RawClient.open(world.local());
  using gauge = openGauge([world.pid]);
  const count = 21_000; // each is three items
  const item = Buffer.from("a16339393900", "hex");
  const bytes = Buffer.concat([Buffer.from("d9d9f7995208", "hex"), ...Array<Buffer>(count).fill(item)]);
  const input = { encoding: "cbor", value: bytes.toString("base64url") };
  client.sequenced({ type: "call", call: 1, command: "fail", input });
  expect(await client.control("failed")).toMatchObject({ error: { code: "invalid_input" } });
  expect(gauge.peaks()[0]).toBeLessThan(32 * MiB);
});

test("a command's process that announces more than a record may hold is not waited for", async () => {
  await using world = await setup();
  await world.farhand(["call", "fail"]);
  using gauge = openGauge([world.pid]);
  const ran = await world.farhand(["call", "large-record", "--json"]);
  expect(JSON.parse(ran.stdout)).toMatchObject({ code: "crashed" });
  await eventually(async () => (await world.farhand(["ping"])).code === 0);
  expect(gauge.peaks()[0]).toBeLessThan(16 * MiB);
});
