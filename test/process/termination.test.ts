import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { MARK } from "../../src/process/census.ts";
import { findStartTime } from "../../src/process/identity.ts";
import { Termination } from "../../src/process/termination.ts";
import { Tree } from "../../src/process/tree.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";

/** A tree of processes that has said `ready`. */
async function setup(script: string) {
  const mark = crypto.randomUUID();
  const child = Bun.spawn(["bash", "-c", script], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { PATH: process.env["PATH"] ?? "", [MARK]: mark },
    detached: true,
  });
  const leader = { pid: child.pid, startTime: findStartTime(child.pid) ?? "" };
  const tree = new Tree({ leader, mark });
  const reader = child.stdout.getReader();
  await reader.read();
  reader.releaseLock();
  const end = (grace: number, killAll?: () => void) =>
    new Termination({ find: () => tree.findSoon(), leader, killAll }, { signal: "SIGTERM", grace });
  return { child, leader, tree, end };
}

describe("Termination", () => {
  test("ends all by the signal, and answers when they are gone", async () => {
    const { end, tree } = await setup("sleep 60 & setsid sleep 60 & sleep 0.1; echo ready; wait");
    expect(await end(60_000).ended).toEqual({ signal: "SIGTERM", processes: 3, killed: 0 });
    expect(tree.find()).toEqual([]);
  });

  test("kills those that ignore the signal when the grace is over, and counts them", async () => {
    const { end, tree } = await setup("sleep 60 & (trap '' TERM; echo ready; exec setsid sleep 60) & wait");
    expect(await end(300).ended).toEqual({ signal: "SIGTERM", processes: 3, killed: 1 });
    expect(tree.find()).toEqual([]);
  });

  test("continues whoever is stopped, so that it can obey", async () => {
    const { end } = await setup("trap 'exit 0' TERM; (sleep 0.1; echo ready) & kill -STOP $$; sleep 60");
    const began = performance.now();
    expect(await end(60_000).ended).toMatchObject({ killed: 0 });
    expect(performance.now() - began).toBeLessThan(30_000);
  });

  test("tells processes too that are made while it waits", async () => {
    const script =
      "trap 'for i in 1 2 3; do setsid sleep 60 & done; exit' TERM; echo ready; while :; do sleep 0.01; done";
    const { end, tree } = await setup(script);
    expect(await end(60_000).ended).toMatchObject({ signal: "SIGTERM", killed: 0 });
    expect(tree.find()).toEqual([]);
  });

  test("hurries when it is told so again, and is not slowed down by a longer grace", async () => {
    const { end } = await setup("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    const termination = end(3_600_000);
    termination.hurry({ signal: "SIGINT", grace: 3_600_000 });
    termination.hurry({ signal: "SIGHUP", grace: 10 });
    expect(await termination.ended).toMatchObject({ killed: expect.any(Number) });
  });

  test("uses the way of killing all at once when KILL is due, and survives its failure", async () => {
    const { end } = await setup("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    let calls = 0;
    const termination = end(10, () => {
      calls++;
      throw new Error("no such way");
    });
    await termination.ended;
    expect(calls).toBeGreaterThan(0);
  });

  const freezer = "/sys/fs/cgroup/freezer";
  const canFreeze = process.getuid?.() === 0 && existsSync(`${freezer}/cgroup.procs`);
  testIf(canFreeze, "only a v1 freezer keeps a process from being killed, and root may use it")(
    "leaves behind only what the kernel does not end, says which, and takes nothing else for it",
    async () => {
      const { end, leader, tree } = await setup("sleep 60 & echo ready; wait");
      const group = `${freezer}/farhand-test-${process.pid}`;
      mkdirSync(group);
      const child = tree.find().find(({ pid }) => pid !== leader.pid);
      try {
        writeFileSync(`${group}/cgroup.procs`, String(child?.pid));
        writeFileSync(`${group}/freezer.state`, "FROZEN");
        expect(await end(500).ended).toEqual({
          signal: "SIGTERM",
          processes: 1,
          killed: 0,
          leftBehind: [{ pid: child?.pid ?? 0, startTime: child?.startTime ?? "" }],
        });
      } finally {
        writeFileSync(`${group}/freezer.state`, "THAWED");
        await eventually(() => tree.find().length === 0);
        rmdirSync(group);
      }
    },
    20_000,
  );
});
