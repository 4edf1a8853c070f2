import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_UNUSED_MODULE_BYTES } from "../../../src/protocol/limits.ts";
import type { ModuleHash, TaskName } from "../../../src/protocol/task.ts";
import { Modules } from "../../../src/server/tasks/modules.ts";
import { type TaskRecord, TaskStore } from "../../../src/server/tasks/store.ts";
import { openDirectory } from "../../support/directory.ts";
import { createLog } from "../../../src/lib/log.ts";

const log = createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() });

async function* send(...chunks: Uint8Array[]) {
  yield* chunks;
}

function hash(bytes: Uint8Array): ModuleHash {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex") as ModuleHash;
}

const record: TaskRecord = {
  format: 1,
  name: "counter" as TaskName,
  wish: "run",
  module: "0".repeat(64) as ModuleHash,
  restart: "never",
  checkpoint: false,
  startedAt: "2026-01-01T00:00:00Z",
  owner: "me",
  via: [],
  caller: { user: "me", role: "admin", source: "unix" },
  role: { name: "admin" },
  cwd: "/",
  exact: false,
  environment: { set: {}, unset: [] },
  job: crypto.randomUUID() as never,
  former: [],
  holder: crypto.randomUUID() as never,
  restarts: 0,
  restored: false,
  isUncertain: false,
};

describe("Modules", () => {
  test("keeps what its hash says, once, for its own user only", async () => {
    using directory = openDirectory();
    const modules = new Modules(directory.path, () => []);
    const source = new TextEncoder().encode("export default {}");
    const upload = { hash: hash(source), bytes: source.length };
    expect(await modules.keep(upload, send(source.subarray(0, 5), source.subarray(5)))).toBe(false);
    expect(await modules.keep(upload, send())).toBe(true);
    expect(await modules.read(upload.hash)).toEqual(source);
    expect(modules.measure(upload.hash)).toBe(source.length);
    expect(statSync(join(directory.path, upload.hash)).mode & 0o777).toBe(0o600);
  });

  test("refuses what is another, too little or too much, and leaves nothing of it", async () => {
    using directory = openDirectory();
    const modules = new Modules(directory.path, () => []);
    const source = new TextEncoder().encode("export default {}");
    const upload = { hash: hash(source), bytes: source.length };
    const sent = [
      send(source.subarray(1), new Uint8Array(1)),
      send(source.subarray(1)),
      send(source, source),
      send(),
    ];
    for (const content of sent)
      await expect(modules.keep(upload, content)).rejects.toMatchObject({ code: "invalid_input" });
    await expect(modules.read(upload.hash)).rejects.toMatchObject({ code: "unknown_module" });
    expect(readdirSync(directory.path)).toEqual([]);
  });

  test("does not run what was damaged, and takes it anew", async () => {
    using directory = openDirectory();
    const modules = new Modules(directory.path, () => []);
    const source = new TextEncoder().encode("export default {}");
    const upload = { hash: hash(source), bytes: source.length };
    await modules.keep(upload, send(source));
    writeFileSync(join(directory.path, upload.hash), "evil");
    await expect(modules.read(upload.hash)).rejects.toMatchObject({ code: "unknown_module" });
    expect(await modules.keep(upload, send(source))).toBe(false);
    expect(await modules.read(upload.hash)).toEqual(source);
  });

  test("forgets what nobody uses when that takes too much, the oldest first", async () => {
    using directory = openDirectory();
    const fake = (index: number) => String(index).padStart(64, "0") as ModuleHash;
    // As sparse files, which take no room.
    for (let index = 0; index < 12; index++) {
      const path = join(directory.path, fake(index));
      writeFileSync(path, "");
      Bun.spawnSync(["truncate", "-s", String(Math.floor(MAX_UNUSED_MODULE_BYTES / 10)), path]);
      utimesSync(path, index, index);
    }
    const modules = new Modules(directory.path, () => [fake(0)]);
    const source = new TextEncoder().encode("export default {}");
    await modules.keep({ hash: hash(source), bytes: source.length }, send(source));
    expect(readdirSync(directory.path).sort()).toEqual(
      [hash(source), fake(0), ...Array.from({ length: 10 }, (_, index) => fake(index + 2))].sort(),
    );
  });

  test("removes what was cut short when it begins", () => {
    using directory = openDirectory();
    writeFileSync(join(directory.path, "x.new"), "half");
    new Modules(directory.path, () => []);
    expect(readdirSync(directory.path)).toEqual([]);
  });
});

describe("TaskStore", () => {
  test("gives back what it was given, whoever asks next", async () => {
    using directory = openDirectory();
    const store = new TaskStore(directory.path);
    await store.save(record);
    await store.saveArgs(record.name, new Uint8Array([1]));
    expect(await store.saveState(record.name, send(new Uint8Array(3), new Uint8Array(4)))).toBe(7);
    const next = new TaskStore(directory.path);
    expect(next.load(log)).toEqual([{ ...record, saved: { at: expect.any(String), bytes: 7 } }]);
    expect(await next.readArgs(record.name)).toEqual(new Uint8Array([1]));
    expect(await next.readState(record.name)).toEqual(new Uint8Array(7));
    expect(statSync(join(directory.path, record.name)).mode & 0o777).toBe(0o700);
  });

  test("keeps the state that it had when another cannot be written", async () => {
    using directory = openDirectory();
    const store = new TaskStore(directory.path);
    await store.saveState(record.name, send(new Uint8Array([1])));
    async function* failing() {
      yield new Uint8Array([2]);
      throw new Error("gone");
    }
    await expect(store.saveState(record.name, failing())).rejects.toThrow("gone");
    expect(await store.readState(record.name)).toEqual(new Uint8Array([1]));
    expect(readdirSync(join(directory.path, record.name))).toEqual(["state"]);
  });

  test("passes over what it cannot read, and what was cut short", async () => {
    using directory = openDirectory();
    const store = new TaskStore(directory.path);
    await store.save(record);
    for (const [name, text] of [
      ["torn", "{"],
      ["newer", JSON.stringify({ ...record, format: 2 })],
    ] as const) {
      mkdirSync(join(directory.path, name));
      writeFileSync(join(directory.path, name, "task.json"), text);
    }
    writeFileSync(join(directory.path, record.name, "task.json.new"), "{");
    expect(new TaskStore(directory.path).load(log)).toEqual([record]);
    expect(readdirSync(join(directory.path, record.name))).toEqual(["task.json"]);
  });
});
