import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { findLinuxMount, listLinuxMounts, parseMountInfo } from "../../../src/server/files/mounts-linux.ts";
import { findMountFault, mountOn, openDirectory } from "../../support/directory.ts";
import { testIf } from "../../support/test-if.ts";

const linux = testIf(process.platform === "linux", "mountinfo is Linux's");

/** Four lines were recorded on Linux 6.1, the fifth is the example of proc_pid_mountinfo(5), the others follow its rules. */
const RECORDED = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict,resuid=65534
28 27 0:25 / /mnt/python ro,nosuid,nodev,relatime - tmpfs tools_unavailable ro,size=4k,mode=755
42 27 254:0 /run/netns /run/netns rw,relatime shared:1 - ext4 /dev/vda rw,discard
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue
95 27 0:44 / /home/build\\040server rw,relatime shared:50 - nfs4 10.0.0.3:/export/a\\040b rw,vers=4.2
96 27 0:45 / /mnt/tab\\011back\\134slash\\012break rw - fuse.sshfs user@host:/x rw
97 27 0:46 / /net rw - autofs /etc/auto.net rw,fd=7
`;

test("parseMountInfo() reads what Linux has written", () => {
  const mounts = parseMountInfo(Buffer.from(RECORDED)).map(({ path, source, ...rest }) => ({
    path: Buffer.from(path).toString(),
    source: Buffer.from(source).toString(),
    ...rest,
  }));
  expect(mounts).toEqual([
    { id: 22, path: "/proc", source: "proc", system: "proc", readOnly: false },
    { id: 27, path: "/", source: "/dev/vda", system: "ext4", readOnly: false },
    { id: 28, path: "/mnt/python", source: "tools_unavailable", system: "tmpfs", readOnly: true },
    { id: 42, path: "/run/netns", source: "/dev/vda", system: "ext4", readOnly: false },
    { id: 36, path: "/mnt2", source: "/dev/root", system: "ext3", readOnly: false },
    { id: 95, path: "/home/build server", source: "10.0.0.3:/export/a b", system: "nfs4", readOnly: false },
    {
      id: 96,
      path: "/mnt/tab\tback\\slash\nbreak",
      source: "user@host:/x",
      system: "fuse.sshfs",
      readOnly: false,
    },
    { id: 97, path: "/net", source: "/etc/auto.net", system: "autofs", readOnly: false },
  ]);
});

test("parseMountInfo() keeps bytes that are no UTF-8, and leaves out what it cannot read", () => {
  const odd = Buffer.from(
    "5 1 0:9 / /mnt/a\xffb rw - tmpfs none rw\nnonsense\n7 1 0:9 / /x rw tmpfs\n\n",
    "latin1",
  );
  expect(parseMountInfo(odd)).toMatchObject([{ path: Buffer.from("/mnt/a\xffb", "latin1") }]);
});

linux("every line of this machine's own mountinfo is read", () => {
  const text = readFileSync("/proc/self/mountinfo");
  expect(parseMountInfo(text)).toHaveLength(text.toString("latin1").trimEnd().split("\n").length);
});

linux("findLinuxMount() names the mount that a path lies in", async () => {
  const [proc, here] = [
    await findLinuxMount(Buffer.from("/proc/self/status")),
    await findLinuxMount(Buffer.from(import.meta.path)),
  ];
  expect([Buffer.from(proc.path).toString(), proc.system]).toEqual(["/proc", "proc"]);
  expect(statSync(Buffer.from(here.path)).dev).toBe(statSync(import.meta.path).dev);
});

testIf(findMountFault() === undefined, `a mount of its own: ${findMountFault()}`)(
  "a mount whose place has spaces, line breaks, backslashes and other bytes is found by them",
  async () => {
    using directory = openDirectory();
    const place = join(directory.path, "a b\tc\nd\\e ü");
    mkdirSync(place);
    using _mount = mountOn(place, 1024 ** 2);
    expect(await findLinuxMount(Buffer.from(place))).toMatchObject({
      path: Buffer.from(place),
      system: "tmpfs",
    });
    expect((await listLinuxMounts()).map(({ path }) => Buffer.from(path).toString())).toContain(place);
  },
);

linux("listLinuxMounts() names each place once", async () => {
  const paths = (await listLinuxMounts()).map(({ path }) => Buffer.from(path).toString("latin1"));
  expect(new Set(paths).size).toBe(paths.length);
  expect(paths).toContain("/");
});
