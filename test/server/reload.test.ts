import { expect, test } from "bun:test";
import { AppError } from "../../src/protocol/error.ts";
import { type ConfigFlags, readConfig, type ServerConfig } from "../../src/server/config.ts";
import { type Reloadable, Reloading } from "../../src/server/reload.ts";

const flags: ConfigFlags = {
  listen: [],
  state: "/state",
  config: undefined,
  logLevel: undefined,
  logFormat: undefined,
};
const config = readConfig(flags, {});

function setup(...parts: Reloadable[]) {
  const logged: string[] = [];
  const told: unknown[] = [];
  let next: () => ServerConfig = () => readConfig(flags, {});
  const log = (message: string) => void logged.push(message);
  const reloading = new Reloading({
    readConfig: () => next(),
    config,
    parts,
    log: { error: log, warn: log, info: log, debug: log },
    onReloaded: (report, by) => void told.push([report, by]),
  });
  return { reloading, logged, told, change: (read: () => ServerConfig) => (next = read) };
}

const unchanged: Reloadable = { name: "rock", reload: async () => undefined };
const changed: Reloadable = { name: "river", reload: async () => "deeper" };

test("A reload tells what is new and what is not", async () => {
  const { reloading, told } = setup(unchanged, changed);
  const by = { user: "ann", source: "10.0.0.1", token: "0123456789abcdef" };
  const report = await reloading.run(by);
  expect(report).toEqual({
    changed: [{ name: "river", now: "deeper" }],
    unchanged: ["configuration", "rock"],
    failed: [],
  });
  await reloading.run();
  expect(told).toEqual([
    [report, by],
    [report, undefined],
  ]);
});

test("A part that fails keeps no other from being read, and says only what may be said", async () => {
  const fail = (name: string, error: Error) => ({ name, reload: () => Promise.reject(error) });
  const refused = fail("gate", new AppError("invalid_config", "Cannot use the gate: it is shut"));
  const { reloading, logged } = setup(refused, fail("wall", new Error("/a/secret/path")), changed);
  expect(await reloading.run()).toEqual({
    changed: [{ name: "river", now: "deeper" }],
    unchanged: ["configuration"],
    failed: [
      { name: "gate", reason: "Cannot use the gate: it is shut" },
      { name: "wall", reason: "the server's log says why" },
    ],
  });
  expect(logged.filter((line) => line === "not reloaded")).toHaveLength(2);
});

test("Parts are given the configuration that could be read last", async () => {
  const given: (readonly string[])[] = [];
  const part = {
    name: "part",
    reload: async ({ names }: ServerConfig) => void given.push(names),
  } as const;
  const { reloading, change } = setup(part);
  change(() => ({ ...config, names: ["web1"] }));
  expect((await reloading.run()).changed).toEqual([{ name: "configuration", now: "read" }]);
  change(() => {
    throw new AppError("invalid_config", "Cannot read configuration: it is gone");
  });
  expect((await reloading.run()).failed).toEqual([
    { name: "configuration", reason: "Cannot read configuration: it is gone" },
  ]);
  expect(given).toEqual([["web1"], ["web1"]]);
  expect(reloading.config.names).toEqual(["web1"]);
});

test("What counts only at a start is named, each time, until it is as it was", async () => {
  const { reloading, change } = setup();
  const audit = { ...config.audit, keep: 1 };
  change(() => ({ ...config, grace: 1, tls: { ...config.tls, insecure: true }, audit }));
  const now = "read; what it says of tls.insecure, session.grace, audit counts from the next start on";
  for (const _ of [1, 2]) expect((await reloading.run()).changed).toEqual([{ name: "configuration", now }]);
  change(() => config);
  expect((await reloading.run()).changed).toEqual([{ name: "configuration", now: "read" }]);
  expect((await reloading.run()).unchanged).toEqual(["configuration"]);
});

test("Reloads that are asked for at once come one after the other", async () => {
  let running = 0;
  const part: Reloadable = {
    name: "part",
    async reload() {
      expect(++running).toBe(1);
      await Promise.resolve();
      running--;
      return undefined;
    },
  };
  const { reloading } = setup(part);
  const reports = await Promise.all([1, 2, 3].map(() => reloading.run()));
  expect(reports.map(({ failed }) => failed)).toEqual([[], [], []]);
});
