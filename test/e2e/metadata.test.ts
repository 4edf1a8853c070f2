import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Outcome } from "../../src/protocol/outcome.ts";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw.ts";
import { openWorld, type World } from "../support/world.ts";

/** Milliseconds: room for a machine that is busy with something else. */
const PATIENCE = 30_000;
const MiB = 1024 ** 2;

let world: World;

beforeAll(async () => {
  world = openWorld();
  await world.start();
  await world.detach("--", "true");
  await world.farhand(["wait", "1"]);
}, PATIENCE);

afterAll(() => world[Symbol.asyncDispose](), PATIENCE);

const many = (count: number, name: string, value: string) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`${name}${n}`, value]));
const program = { argv: ["true"] };
const text = (bytes: number) => "x".repeat(bytes);

/** Calls over the wire, as no client of ours would, and answers what came of it. */
async function call(command: string, value: object) {
  using client = await RawClient.open(world.local());
  client.call(1, command, value, command === "exec" ? { job: crypto.randomUUID() } : {});
  return (await client.control("failed", "result", "accepted", "goodbye")) as unknown as {
    readonly type: string;
    readonly error?: { readonly code: string; readonly message: string };
  };
}

describe("a metadata bomb is refused, with the limit named, and leaves nothing:", () => {
  test.each<[what: string, limit: string, command: string, value: object]>([
    ["50,000 labels", "more than 64 labels", "exec", { ...program, labels: many(50_000, "l", "") }],
    [
      "a label's name of nearly a megabyte",
      "63",
      "exec",
      { ...program, labels: { [text(MiB - 1_000)]: "" } },
    ],
    ["a label of nearly a megabyte", "256", "exec", { ...program, labels: { a: text(MiB - 1_000) } }],
    ["a key of nearly a megabyte", "255", "exec", { ...program, key: text(MiB - 1_000) }],
    ["an info of nearly a megabyte", "16384", "exec", { ...program, info: { a: text(MiB - 1_000) } }],
    ["10,000 variables", "4096", "exec", { ...program, env: many(10_000, "V", "") }],
    ["100,000 words", "16384", "exec", { argv: Array.from({ length: 100_000 }, () => "a") }],
    [
      "50,000 labels for a job that there is",
      "more than 64",
      "job-label",
      { job: "1", set: many(50_000, "l", "") },
    ],
    [
      "50,000 labels to take away",
      "more than 64",
      "job-label",
      { job: "1", unset: Object.keys(many(50_000, "l", "")) },
    ],
    [
      "a filter of 10,000 labels",
      "more than 64",
      "jobs",
      { filter: { labels: Object.keys(many(10_000, "l", "")) } },
    ],
    ["a text of nearly a megabyte to look for", "4096", "jobs", { filter: { match: text(MiB - 1_000) } }],
    ["10,000 references", "100", "jobs", { refs: Object.keys(many(10_000, "", "")) }],
    ["10,000 jobs to remove", "100", "job-remove", { jobs: Object.keys(many(10_000, "", "")) }],
  ])(
    "%s",
    async (_what, limit, command, value) => {
      const answer = await call(command, value);
      expect(answer).toMatchObject({ type: "failed", error: { code: "invalid_input" } });
      expect(answer.error?.message).toContain(limit);
      expect(answer.error?.message.length).toBeLessThan(600);
      expect(readdirSync(join(world.state, "ledgers"))).toHaveLength(1);
    },
    PATIENCE,
  );

  test(
    "100,000 labels, more than a frame may be: the connection is closed as 1009 says, and the next one is served",
    async () => {
      using client = await RawClient.open(world.local());
      client.call(
        1,
        "exec",
        { ...program, labels: many(100_000, "label", "") },
        { job: crypto.randomUUID() },
      );
      expect(await client.ended).toMatchObject({ type: "closed", code: 1009 });
      expect((await call("jobs", {})).type).toBe("result");
    },
    PATIENCE,
  );

  test(
    "the client refuses what no frame has room for, and names the limit",
    async () => {
      const line = "farhand exec --label x=$(head -c 100000 /dev/zero | tr '\\0' x) -- true";
      expect(await world.shell(line)).toMatchObject({
        code: 125,
        stdout: "",
        stderr: expect.stringContaining("256"),
      });
      const labels = Array.from({ length: 1_000 }, (_, n) => ["--label", `l${n}=x`]).flat();
      expect(await world.farhand(["exec", ...labels, "--", "true"])).toMatchObject({
        code: 125,
        stderr: expect.stringContaining("more than 64 labels"),
      });
      const words = "farhand exec -- echo $(yes $(head -c 10000 /dev/zero | tr '\\0' x) | head -n 110)";
      expect((await world.shell(words)).stderr).toContain("1048576 bytes");
    },
    PATIENCE,
  );
});

test(
  "an argument that the system has no room for is reported as such",
  async () => {
    const job = crypto.randomUUID();
    using client = await RawClient.open(world.local());
    client.call(1, "exec", { argv: ["echo", text(200 * 1024)] }, { job });
    await client.control("accepted");
    let outcome: Outcome | undefined;
    await eventually(async () => {
      outcome = (await world.job(job)).outcome;
      return outcome !== undefined;
    }, PATIENCE);
    expect(outcome).toMatchObject({ type: "not_started", reason: { code: "too_large" } });
    expect((await world.farhand(["wait", job])).code).toBe(126);
    // What is shown of it is no bomb either.
    expect((await world.farhand(["jobs"])).stdout.length).toBeLessThan(2_000);
    expect((await world.farhand(["job", "show", job, "--json"])).stdout.length).toBeLessThan(200 * 1024);
  },
  PATIENCE,
);

test(
  "a job at every limit is taken, shown and found",
  async () => {
    const labels = many(64, "l".repeat(61), text(256));
    const value = {
      ...program,
      labels,
      key: text(255),
      info: text(16 * 1024 - 2),
      env: many(4_096, "V", "x"),
    };
    const answer = await call("exec", value);
    expect(answer.type).toBe("accepted");
    const { stdout } = await world.farhand(["jobs", "--label", `${"l".repeat(61)}63=${text(256)}`, "--json"]);
    expect(JSON.parse(stdout).jobs).toMatchObject([{ labels }]);
    expect((await world.farhand(["job", "show", "@last"])).code).toBe(0);
  },
  PATIENCE,
);
