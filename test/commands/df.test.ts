import { expect, test } from "bun:test";
import { statfsSync } from "node:fs";
import * as v from "valibot";
import type { Mount } from "../../src/commands/access/mounts.ts";
import type { CommandContext } from "../../src/commands/context.ts";
import { df } from "../../src/commands/df.ts";
import { AppError } from "../../src/protocol/error.ts";
import { findMountFault, mountSmall } from "../support/directory.ts";
import { toFileContext } from "../support/reading.ts";
import { testIf } from "../support/test-if.ts";

async function measure(input: v.InferInput<typeof df.input>, context: CommandContext = toFileContext("/")) {
  return v.parse(df.result, await df.run(v.parse(df.input, input), context));
}

function toMount(path: string, source: string, system: string): Mount {
  return { path: Buffer.from(path), source: Buffer.from(source), system, readOnly: false };
}

const FULL = { size: 1000, used: 600, available: 300 };

/** Mounts that no machine has all at once. */
function toContext(mounts: readonly Mount[], usage: (path: string) => typeof FULL): CommandContext {
  const files = {
    listMounts: async () => mounts,
    measureMount: async ({ path }: Mount) => usage(Buffer.from(path).toString()),
  };
  return { files, signal: new AbortController().signal } as unknown as CommandContext;
}

testIf(findMountFault() === undefined, `a file system of its own: ${findMountFault()}`)(
  "df tells of the file system in which a path lies, and of all that there are",
  async () => {
    using small = mountSmall(4 * 1024 ** 2);
    const own = {
      mount: { name: small.path },
      type: "tmpfs",
      size: 4 * 1024 ** 2,
      used: 0,
      available: 4 * 1024 ** 2,
    };
    expect((await measure({ paths: [`${small.path}/.`] })).fileSystems).toMatchObject([own]);
    const { fileSystems, unread } = await measure({});
    expect(fileSystems).toContainEqual(expect.objectContaining(own));
    expect(fileSystems.every(({ size }) => size > 0)).toBe(true);
    expect(unread.count).toBe(0);
    const root = statfsSync("/");
    expect((await measure({ paths: ["/"] })).fileSystems).toMatchObject([{ size: root.blocks * root.bsize }]);
  },
);

test("df shows a device once, in the shortest place, and nothing that holds nothing, unless all are wanted", async () => {
  const mounts = [
    toMount("/proc", "proc", "proc"),
    toMount("/run/netns", "/dev/vda", "ext4"),
    toMount("/", "/dev/vda", "ext4"),
    toMount("/dev/shm", "tmpfs", "tmpfs"),
    toMount("/tmp", "tmpfs", "tmpfs"),
  ];
  const context = toContext(mounts, (path) => (path === "/proc" ? { size: 0, used: 0, available: 0 } : FULL));
  const places = async (all: boolean) =>
    (await measure({ all }, context)).fileSystems.map(({ mount }) => mount.name);
  expect(await places(false)).toEqual(["/", "/dev/shm", "/tmp"]);
  expect(await places(true)).toEqual(["/proc", "/run/netns", "/", "/dev/shm", "/tmp"]);
});

test("df goes on past a file system that does not answer, and names it", async () => {
  const mounts = [toMount("/net\n", "nas:/x", "nfs4"), toMount("/", "/dev/vda", "ext4")];
  const answer = await measure(
    {},
    toContext(mounts, (path) => {
      if (path === "/") return FULL;
      throw new AppError("os_error", `Cannot measure "${path}": it has not answered`, {
        details: { os: "ETIMEDOUT" },
      });
    }),
  );
  expect([df.cli.toExitCode?.(answer), answer.unread.count]).toEqual([1, 1]);
  expect(df.cli.show(answer).split("\n").slice(0, 2)).toEqual([
    "SOURCE    TYPE  SIZE    USED   AVAILABLE  USE   MOUNTED ON",
    "/dev/vda  ext4  1000 B  600 B  300 B      67 %  /",
  ]);
});
