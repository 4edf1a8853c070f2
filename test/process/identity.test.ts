import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readBootId } from "../../src/process/boot.ts";
import { findStartTime, isAlive, sessionMembers } from "../../src/process/identity.ts";
import type { ProcessIdentity } from "../../src/protocol/job.ts";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { killSession } from "../support/kill.ts";
import { testIf } from "../support/test-if.ts";

const onLinux = testIf(process.platform === "linux", "other systems list processes by a program of theirs");

/** A shell in a session of its own, with a child whose name is meant to confuse. */
function setup(script: string) {
  const leader = Bun.spawn(["sh", "-c", script], { detached: true, stdio: ["ignore", "ignore", "ignore"] });
  const identity = { pid: leader.pid, startTime: findStartTime(leader.pid) ?? "" };
  return {
    leader,
    identity,
    [Symbol.dispose]() {
      killSession(identity);
      leader.kill("SIGKILL");
    },
  };
}

/** The same pid after as many ticks, when the machine was started another time. */
function beforeBoot({ startTime }: ProcessIdentity): string {
  return startTime.replace(readBootId(), crypto.randomUUID());
}

test("findStartTime is the same each time while a process runs, and nothing afterwards", async () => {
  using world = setup("exec sleep 60");
  const { leader, identity } = world;
  expect(identity.startTime).toMatch(/^[0-9a-f-]{36}\/\d+$/);
  expect(findStartTime(leader.pid)).toBe(identity.startTime);
  expect(isAlive(identity)).toBe(true);
  expect(isAlive({ ...identity, startTime: beforeBoot(identity) })).toBe(false);
  leader.kill("SIGKILL");
  await leader.exited;
  expect(findStartTime(leader.pid)).toBeUndefined();
  expect(isAlive(identity)).toBe(false);
});

test("sessionMembers finds the leader and its descendants, also after the leader is gone", async () => {
  using world = setup("sleep 60 & sleep 60 & wait");
  const { leader, identity } = world;
  await eventually(() => sessionMembers(identity).length === 3);
  expect(sessionMembers(identity)).toContainEqual(identity);
  leader.kill("SIGKILL");
  await leader.exited;
  const orphans = sessionMembers(identity);
  expect(orphans).toHaveLength(2);
  expect(orphans.every(isAlive)).toBe(true);
  killSession(identity);
  await eventually(() => sessionMembers(identity).length === 0);
});

test("sessionMembers does not take another process of the same pid for the leader", () => {
  using world = setup("exec sleep 60");
  const { identity } = world;
  expect(sessionMembers({ ...identity, startTime: `${readBootId()}/1` })).toEqual([]);
});

test("sessionMembers finds nobody of an earlier boot, though pid and ticks are those of one that runs", () => {
  using world = setup("exec sleep 60");
  const { identity } = world;
  expect(sessionMembers({ ...identity, startTime: beforeBoot(identity) })).toEqual([]);
  // As noted by a version that did not count the boot, which cannot be told from it.
  expect(sessionMembers({ ...identity, startTime: identity.startTime.split("/")[1] ?? "" })).toEqual([]);
});

test("sessionMembers finds nobody of an earlier boot in a session whose leader is gone either", async () => {
  using world = setup("sleep 60 & wait");
  const { leader, identity } = world;
  await eventually(() => sessionMembers(identity).length === 2);
  leader.kill("SIGKILL");
  await leader.exited;
  expect(sessionMembers(identity)).toHaveLength(1);
  expect(sessionMembers({ ...identity, startTime: beforeBoot(identity) })).toEqual([]);
});

test("sessionMembers reads processes whatever they call themselves", async () => {
  using world = setup("exec sleep 60");
  using directory = openDirectory();
  const { identity } = world;
  // Bun cannot name a process; a script's name becomes its own.
  const script = `${directory.path}/) 7 (x`;
  writeFileSync(script, "#!/bin/sh\nsleep 60\n", { mode: 0o755 });
  const odd = Bun.spawn([script], { detached: true });
  const identityOfOdd = { pid: odd.pid, startTime: findStartTime(odd.pid) ?? "" };
  try {
    await eventually(() => sessionMembers(identityOfOdd).length === 2);
    expect(sessionMembers(identity)).toEqual([identity]);
  } finally {
    killSession(identityOfOdd);
  }
});

onLinux("Without descriptors nobody is taken for dead: what cannot be looked at is said so", async () => {
  const script = `
    const { openSync } = require("node:fs");
    const { listProcesses } = await import(${JSON.stringify(join(import.meta.dir, "../../src/process/identity.ts"))});
    listProcesses();
    try { for (;;) openSync("/dev/null", "r"); } catch {}
    try { console.log(listProcesses().length); } catch (error) { console.log(error.code + ": " + error.message); }
  `;
  const child = Bun.spawn(["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  expect(await child.stdout.text()).toStartWith(
    "unavailable: Cannot look at processes: no descriptors left (EMFILE)",
  );
});
