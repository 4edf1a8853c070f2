import { expect, test } from "bun:test";
import { findStartTime, isAlive, sessionMembers } from "../../src/process/identity.ts";
import { eventually } from "../support/eventually.ts";

/** A shell in a session of its own, with a child whose name is meant to confuse. */
function setup(script: string) {
  const leader = Bun.spawn(["sh", "-c", script], { detached: true, stdio: ["ignore", "ignore", "ignore"] });
  const identity = { pid: leader.pid, startTime: findStartTime(leader.pid) ?? "" };
  return {
    leader,
    identity,
    [Symbol.dispose]() {
      for (const { pid } of sessionMembers(identity)) process.kill(pid, "SIGKILL");
      leader.kill("SIGKILL");
    },
  };
}

test("findStartTime is the same each time while a process runs, and nothing afterwards", async () => {
  using world = setup("exec sleep 60");
  const { leader, identity } = world;
  expect(identity.startTime).toMatch(/^\d+$/);
  expect(findStartTime(leader.pid)).toBe(identity.startTime);
  expect(isAlive(identity)).toBe(true);
  expect(isAlive({ ...identity, startTime: "1" })).toBe(false);
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
  for (const { pid } of orphans) process.kill(pid, "SIGKILL");
  await eventually(() => sessionMembers(identity).length === 0);
});

test("sessionMembers does not take another process of the same pid for the leader", () => {
  using world = setup("exec sleep 60");
  expect(sessionMembers({ ...world.identity, startTime: "1" })).toEqual([]);
});

test("sessionMembers reads processes whatever they call themselves", async () => {
  using world = setup("exec sleep 60");
  const { leader, identity } = world;
  // Bun cannot name a process; a script's name becomes its own.
  await Bun.write("/tmp/) 7 (x", "#!/bin/sh\nsleep 60\n");
  const odd = Bun.spawn(["sh", "-c", "chmod 755 '/tmp/) 7 (x'; exec '/tmp/) 7 (x'"], { detached: true });
  const identityOfOdd = { pid: odd.pid, startTime: findStartTime(odd.pid) ?? "" };
  try {
    await eventually(() => sessionMembers(identityOfOdd).length === 2);
    expect(sessionMembers(identity)).toEqual([identity]);
    expect(leader.pid).not.toBe(odd.pid);
  } finally {
    for (const { pid } of sessionMembers(identityOfOdd)) process.kill(pid, "SIGKILL");
    await Bun.file("/tmp/) 7 (x").delete();
  }
});
