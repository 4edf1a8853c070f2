import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cgroup } from "../../src/process/cgroup.ts";
import { findHierarchies, type Hierarchy, parseHierarchies } from "../../src/process/hierarchy.ts";
import { signalProcess } from "../../src/process/signal.ts";
import { Tree } from "../../src/process/tree.ts";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";

describe("parseHierarchies()", () => {
  test("finds v1 hierarchies and where in each we are, the unified one first", () => {
    const cgroup = "8:pids:/\n4:memory:/box/a\n3:cpu,cpuacct:/b\n1:name=systemd:/init\n0::/here\n";
    const mountinfo = [
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
      "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory",
      "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
      "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids",
      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
    ].join("\n");
    expect(parseHierarchies(cgroup, mountinfo)).toEqual([
      {
        version: 2,
        controllers: [""],
        mount: "/sys/fs/cgroup/unified",
        own: "/sys/fs/cgroup/unified/here",
      },
      {
        version: 1,
        controllers: ["memory"],
        mount: "/sys/fs/cgroup/memory",
        own: "/sys/fs/cgroup/memory/box/a",
      },
      {
        version: 1,
        controllers: ["cpu", "cpuacct"],
        mount: "/sys/fs/cgroup/cpu,cpuacct",
        own: "/sys/fs/cgroup/cpu,cpuacct/b",
      },
      { version: 1, controllers: ["pids"], mount: "/sys/fs/cgroup/pids", own: "/sys/fs/cgroup/pids" },
    ]);
  });

  test("counts our path from the part of the hierarchy that is mounted, and reads escaped names", () => {
    const found = parseHierarchies(
      "0::/docker/abc/inner\n",
      "9 8 0:1 /docker/abc /sys/fs/my\\040cgroup rw - cgroup2 cgroup rw,nsdelegate\n",
    );
    expect(found).toMatchObject([{ version: 2, own: "/sys/fs/my cgroup/inner" }]);
  });

  test("finds none where there are none", () => {
    expect(parseHierarchies("", "")).toEqual([]);
  });
});

/** A directory that looks as a v2 hierarchy does. */
function setupUnified(subtree = "memory pids") {
  const directory = openDirectory();
  const { path } = directory;
  writeFileSync(join(path, "cgroup.controllers"), "cpu memory pids\n");
  writeFileSync(join(path, "cgroup.subtree_control"), `${subtree}\n`);
  writeFileSync(join(path, "cgroup.procs"), "");
  const hierarchy: Hierarchy = { version: 2, controllers: [""], mount: path, own: path };
  return { ...directory, hierarchy, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

describe("Cgroup", () => {
  test("bounds memory and processes in one v2 group, named after the job", () => {
    using world = setupUnified();
    const { group, unbound } = Cgroup.create("job", { memory: 1_000_000, pids: 7 }, [world.hierarchy]);
    const directory = join(world.path, "farhand-job-job");
    expect(unbound).toEqual({});
    expect(group?.doors).toEqual([join(directory, "cgroup.procs")]);
    expect(readFileSync(join(directory, "memory.max"), "utf8")).toBe("1000000");
    expect(readFileSync(join(directory, "pids.max"), "utf8")).toBe("7");
  });

  test("lets the groups of a v2 hierarchy have the controllers first", () => {
    using world = setupUnified("");
    Cgroup.create("job", { pids: 7 }, [world.hierarchy]);
    expect(readFileSync(join(world.path, "cgroup.subtree_control"), "utf8")).toBe("+pids");
  });

  test("kills all members at once, reads who they are, and lets them make no others", () => {
    using world = setupUnified();
    const { group } = Cgroup.create("job", { pids: 7 }, [world.hierarchy]);
    const directory = join(world.path, "farhand-job-job");
    writeFileSync(join(directory, "cgroup.kill"), "");
    writeFileSync(join(directory, "cgroup.procs"), "12\n345\n");
    expect(group?.list()).toEqual([12, 345]);
    group?.kill();
    expect(readFileSync(join(directory, "cgroup.kill"), "utf8")).toStartWith("1");
    expect(readFileSync(join(directory, "pids.max"), "utf8")).toStartWith("0");
  });

  test("tells what no hierarchy can bound", () => {
    using world = setupUnified();
    writeFileSync(join(world.path, "cgroup.controllers"), "memory\n");
    const { unbound } = Cgroup.create("job", { memory: 1_000_000, pids: 7 }, [world.hierarchy]);
    expect(unbound).toEqual({ pids: 7 });
    expect(Cgroup.create("none", { memory: 5 }, [])).toEqual({ group: undefined, unbound: { memory: 5 } });
  });

  test("tells so too where no group can be made", () => {
    const hierarchy: Hierarchy = {
      version: 1,
      controllers: ["pids"],
      mount: "/no/such",
      own: "/no/such/place",
    };
    expect(Cgroup.create("job", { pids: 7 }, [hierarchy])).toEqual({
      group: undefined,
      unbound: { pids: 7 },
    });
  });
});

const hierarchies = findHierarchies();
const isRoot = process.getuid?.() === 0;

/** Puts a process into a group. */
function enter(group: Cgroup, pid: number): void {
  for (const door of group.doors) writeFileSync(door, String(pid));
}

const v1Pids = hierarchies.find(({ version, controllers }) => version === 1 && controllers.includes("pids"));
testIf(isRoot && v1Pids !== undefined, "there is no v1 pids controller that we may write to")(
  "A v1 group bounds processes, finds them, and is removed when they are gone",
  async () => {
    const name = `test-${process.pid}`;
    const { group } = Cgroup.create(name, { pids: 3 }, v1Pids ? [v1Pids] : []);
    if (group === undefined) throw new Error("No group was made");
    const script = "read go; for i in 1 2 3 4 5; do sleep 60 & done; wait";
    const child = Bun.spawn(["bash", "-c", script], { stdio: ["pipe", "ignore", "pipe"] });
    enter(group, child.pid);
    child.stdin.write("go\n");
    child.stdin.end();
    await eventually(() => group.list().length === 3);
    group[Symbol.dispose](); // it has members, and stays
    expect(group.list()).toHaveLength(3);
    await eventually(() => {
      for (const pid of group.list()) signalProcess(pid, "SIGKILL"); // some end meanwhile
      return group.list().length === 0;
    });
    await child.exited;
    await eventually(() => {
      group[Symbol.dispose]();
      return !existsSync(join(v1Pids?.own ?? "", `farhand-job-${name}`));
    });
  },
  20_000,
);

const unified = hierarchies.find(({ version }) => version === 2);
testIf(isRoot && unified !== undefined, "there is no v2 hierarchy that we may write to")(
  "A v2 group is killed at once by the kernel, whatever its members do",
  async () => {
    const directory = join(unified?.own ?? "", `farhand-test-${process.pid}`);
    mkdirSync(directory);
    const group = new Cgroup([directory]);
    try {
      const script = "trap '' TERM; read go; for i in 1 2 3; do setsid sleep 60 & done; wait";
      const child = Bun.spawn(["bash", "-c", script], { stdio: ["pipe", "ignore", "ignore"] });
      enter(group, child.pid);
      child.stdin.write("go\n");
      child.stdin.end();
      await eventually(() => group.list().length === 4);
      // That is all by which they are known here: leader and mark are of nobody.
      const tree = new Tree({
        leader: { pid: 999_999_999, startTime: "" },
        mark: "none",
        group,
        adopter: process.pid,
      });
      expect(tree.find()).toHaveLength(4);
      group.kill();
      await eventually(() => group.list().length === 0);
      expect((await child.exited) === 0).toBe(false);
    } finally {
      await eventually(() => {
        group[Symbol.dispose]();
        return !existsSync(directory);
      });
    }
  },
);

const hasV2Controllers =
  unified !== undefined && readFileSync(join(unified.mount, "cgroup.controllers"), "utf8").includes("pids");
testIf(isRoot && hasV2Controllers, "the v2 hierarchy has no pids controller, so that it bounds nothing")(
  "A v2 group bounds processes",
  async () => {
    const { group, unbound } = Cgroup.create(`test-${process.pid}`, { pids: 3 }, unified ? [unified] : []);
    expect(unbound).toEqual({});
    if (group === undefined) throw new Error("No group was made");
    const script = "read go; for i in 1 2 3 4 5; do sleep 60 & done; wait";
    const child = Bun.spawn(["bash", "-c", script], { stdio: ["pipe", "ignore", "ignore"] });
    enter(group, child.pid);
    child.stdin.write("go\n");
    child.stdin.end();
    await eventually(() => group.list().length === 3);
    group.kill();
    await child.exited;
    await eventually(() => group.list().length === 0);
    group[Symbol.dispose]();
  },
);
