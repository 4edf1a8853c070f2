import { closeSync, fstatSync } from "node:fs";
import { openLibc } from "../../src/process/libc.ts";
import { describe, expect, test } from "bun:test";
import { MARK } from "../../src/process/census.ts";
import { findStartTime, listProcesses, parseProcesses } from "../../src/process/identity.ts";
import { Tree } from "../../src/process/tree.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";

const onLinux = testIf(process.platform === "linux", "only Linux shows environments and descriptors");

/** A leader of its own session that carries a mark; disposing kills every process that carries it. */
function setup(script: string, stdout: number | "ignore" = "ignore") {
  const mark = crypto.randomUUID();
  const child = Bun.spawn(["bash", "-c", script], {
    stdio: ["ignore", stdout, "ignore"],
    env: { PATH: process.env["PATH"] ?? "", [MARK]: mark },
    detached: true,
  });
  const leader = { pid: child.pid, startTime: findStartTime(child.pid) ?? "" };
  const tree = new Tree({ leader, mark });
  const count = () => tree.find().length;
  return {
    child,
    leader,
    mark,
    tree,
    count,
    async [Symbol.asyncDispose]() {
      await eventually(() => {
        const left = tree.find();
        for (const { pid } of left) kill(pid);
        return left.length === 0;
      });
      await child.exited;
    },
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}

describe("Tree", () => {
  onLinux("finds members of the session, those that left it, and their children", async () => {
    await using world = setup("sleep 60 & setsid sleep 60 & (setsid sh -c 'sleep 60; true' &) ; wait");
    // The shell, its two children, and the one that lost its parent with a child of its own.
    await eventually(() => world.count() === 5);
  });

  onLinux("finds by its mark who left the session and lost its parents", async () => {
    await using world = setup("setsid sleep 60 >/dev/null & exit 0");
    await world.child.exited;
    await eventually(() => world.tree.find().some(({ session }) => session !== world.leader.pid));
    expect(world.count()).toBe(1);
  });

  onLinux("finds by its pipes who left the session, lost its parents and its environment", async () => {
    const [read, write] = openLibc().pipe();
    const [otherRead, otherWrite] = openLibc().pipe();
    await using world = setup("env -i setsid sleep 60 & exit 0", write);
    const { leader, mark } = world;
    const [inode, other] = [read, otherRead].map((fd) => fstatSync(fd).ino) as [number, number]; // of two, two
    for (const fd of [read, write, otherRead, otherWrite]) closeSync(fd);
    await world.child.exited;
    const find = (pipe: number) => new Tree({ leader, mark, pipes: [pipe] }).find();
    await eventually(() => find(other).length === 0); // it has left
    expect(find(inode)).toHaveLength(1);
    expect(world.tree.find()).toEqual([]);
    for (const { pid } of find(inode)) kill(pid);
  });

  onLinux("remembers whom it has seen, whatever becomes of the rest", async () => {
    await using world = setup("env -i setsid sleep 60 </dev/null >/dev/null & wait");
    await eventually(() => world.count() === 2);
    kill(world.leader.pid);
    await world.child.exited;
    await eventually(() => world.count() === 1); // the list may be some milliseconds old
  });

  onLinux("takes no process for the leader that has its pid and started at another time", async () => {
    await using world = setup("sleep 60 & wait");
    await eventually(() => world.count() === 2);
    const { leader } = world;
    const before = { pid: leader.pid, startTime: leader.startTime.replace(/\d+$/, "1") };
    expect(new Tree({ leader: before, mark: "another" }).find()).toEqual([]);
    // Nor the session of a stranger whose number is that of the leader's pid.
    expect(new Tree({ leader: { pid: process.pid, startTime: "1" }, mark: "another" }).find()).toEqual([]);
  });

  onLinux("takes no session for the leader's whose number it had before a reboot", async () => {
    await using world = setup("sleep 60 & exit 0");
    await world.child.exited;
    await eventually(() => world.count() === 1);
    const { leader } = world;
    const before = { pid: leader.pid, startTime: leader.startTime.replace(/^.*\//, "another-boot/") };
    expect(new Tree({ leader: before, mark: "another" }).find()).toEqual([]);
  });

  onLinux("looks for orphans only among the children of whoever adopts them", async () => {
    await using world = setup("setsid sleep 60 & exit 0");
    await world.child.exited;
    await eventually(() => world.tree.find().some(({ session }) => session !== world.leader.pid));
    const { leader, mark } = world;
    const adopter = world.tree.find()[0]?.parent ?? 0;
    // While it becomes another program it shows no environment.
    await eventually(() => new Tree({ leader, mark, adopter }).find().length === 1);
    expect(new Tree({ leader, mark, adopter: process.pid }).find()).toEqual([]);
  });

  onLinux("never counts the process that looks, though a job started it", () => {
    const self = { pid: process.pid, startTime: findStartTime(process.pid) ?? "" };
    expect(new Tree({ leader: self, mark: "none" }).find().map(({ pid }) => pid)).not.toContain(process.pid);
  });
});

describe("listProcesses()", () => {
  test("lists this process with its parent, group and start time", () => {
    const self = listProcesses().find(({ pid }) => pid === process.pid);
    expect(self).toMatchObject({ parent: process.ppid, isZombie: false });
    expect(self?.startTime).toBe(findStartTime(process.pid) ?? "none");
  });

  test("reads what ps says in the columns that macOS has", () => {
    const text =
      "    1     0     1 Ss   Sat Nov 28 16:00:01 2026    \n  501     1   501 Z+   Sat Nov 28 16:00:02 2026\n";
    expect(parseProcesses(text)).toEqual([
      { pid: 1, parent: 0, group: 1, session: 1, startTime: "Sat Nov 28 16:00:01 2026", isZombie: false },
      {
        pid: 501,
        parent: 1,
        group: 501,
        session: 501,
        startTime: "Sat Nov 28 16:00:02 2026",
        isZombie: true,
      },
    ]);
  });

  testIf(Bun.which("ps") !== null, "there is no ps")(
    "reads what this system's ps says in these columns",
    () => {
      const { stdout } = Bun.spawnSync(["ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart="]);
      expect(parseProcesses(stdout.toString()).some(({ pid }) => pid === process.pid)).toBe(true);
    },
  );
});
