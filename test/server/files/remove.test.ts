import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { AppError } from "../../../src/protocol/error.ts";
import { Files } from "../../../src/server/files/files.ts";
import { openDirectory, findMountFault, mountOn } from "../../support/directory.ts";
import { bytes, never, nothing, openGround, refusalOf } from "../../support/files.ts";
import { testIf } from "../../support/test-if.ts";

const plain = { recursive: false };
const recursive = { recursive: true };
const isRoot = process.getuid?.() === 0;
const fault = findMountFault();

/** What this process has open in a directory, removed or not. */
function openIn(directory: string): string[] {
  const targets = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // closed since it was listed, as the listing itself is
    }
  });
  return targets.filter((target) => target.startsWith(directory));
}

describe("remove()", () => {
  test("removes a file, a link and not what it leads to, an empty directory, a FIFO", async () => {
    using ground = openGround();
    ground.put("kept/file");
    ground.put("file");
    symlinkSync("kept", ground.at("link"));
    symlinkSync("nowhere", ground.at("dangling"));
    mkdirSync(ground.at("empty"));
    Bun.spawnSync(["mkfifo", ground.at("fifo")]);
    for (const name of ["file", "link", "dangling", "empty", "fifo"])
      expect(await ground.files.remove(bytes(name), plain, never)).toBe(1);
    expect([ground.names(), ground.names("kept")]).toEqual([["kept"], ["file"]]);
  });

  test("refuses what is missing, a file on the way, and a link that is to be a directory", async () => {
    using ground = openGround();
    ground.put("dir/file");
    symlinkSync("dir", ground.at("link"));
    expect(await refusalOf(ground.files.remove(bytes("missing"), recursive, never))).toEqual({
      os: "ENOENT",
      path: "missing",
      message: 'Cannot remove "missing": no such file or directory (ENOENT)',
    });
    expect(await refusalOf(ground.files.remove(bytes("dir/file/x"), plain, never))).toMatchObject({
      os: "ENOTDIR",
    });
    expect(await refusalOf(ground.files.remove(bytes("link/"), recursive, never))).toMatchObject({
      os: "ENOTDIR",
    });
    expect(ground.names("dir")).toEqual(["file"]);
  });

  test("refuses a directory with something in it unless told to take all of it", async () => {
    using ground = openGround();
    ground.put("dir/sub/file");
    expect(await refusalOf(ground.files.remove(bytes("dir"), plain, never))).toMatchObject({
      os: "ENOTEMPTY",
      message:
        'Cannot remove "dir": the directory is not empty (ENOTEMPTY); --recursive removes it with all that is in it',
    });
    expect(await ground.files.remove(bytes("dir"), recursive, never)).toBe(3);
    expect(ground.names()).toEqual([]);
  });

  test("refuses the root, the workspace's directory and all that this is in, by whatever name", async () => {
    using ground = openGround();
    ground.put("home/deep/file");
    symlinkSync("/", ground.at("root"));
    symlinkSync(ground.path, ground.at("home/up"));
    const files = new Files({ umask: 0, own: nothing }).access(bytes(ground.at("home/deep")), never);
    const paths = [
      ".",
      "..",
      "../..",
      "/",
      "//",
      ground.path,
      ground.at("home"),
      `${ground.at("home/deep")}/`,
      dirname(ground.path),
      "../deep",
      "../up/home",
      "../up/root/.",
      "../../root/tmp/..",
    ];
    for (const path of paths) {
      const refused = await refusalOf(files.remove(bytes(path), recursive, never));
      expect([path, refused.os, refused.path]).toEqual([path, "EBUSY", path]);
    }
    expect((await refusalOf(files.remove(bytes(".."), recursive, never))).message).toBe(
      'Cannot remove "..": the workspace\'s own directory is in it (EBUSY)',
    );
    expect((await refusalOf(files.remove(bytes("/"), recursive, never))).message).toMatch(
      /it is the root of all files|own directory is in it/,
    );
    expect(ground.names("home/deep")).toEqual(["file"]);
    expect(await refusalOf(files.remove(bytes("../deep/../../home/deep/."), plain, never))).toMatchObject({
      os: "EBUSY",
    });
  });

  test("refuses a path that ends in a dot", async () => {
    using ground = openGround();
    ground.put("dir/file");
    expect(await refusalOf(ground.files.remove(bytes("dir/."), recursive, never))).toMatchObject({
      os: "EINVAL",
    });
    expect(ground.names("dir")).toEqual(["file"]);
  });

  test("follows no link in a tree", async () => {
    using ground = openGround();
    using outside = openDirectory();
    writeFileSync(join(outside.path, "canary"), "");
    ground.put("dir/sub/file");
    symlinkSync(outside.path, ground.at("dir/sub/link"));
    symlinkSync("..", ground.at("dir/loop"));
    expect(await ground.files.remove(bytes("dir"), recursive, never)).toBe(5);
    expect(readdirSync(outside.path)).toEqual(["canary"]);
  });

  test("takes names of any bytes", async () => {
    using ground = openGround();
    const odd = [
      Buffer.from([0x61, 0xff]),
      bytes("new\nline"),
      bytes("-rf"),
      bytes(" "),
      bytes("\u0001\u001b[31m"),
      bytes("\u00e9"),
      bytes("e\u0301"),
      bytes("con"),
    ];
    mkdirSync(ground.at("dir"));
    for (const name of odd) writeFileSync(Buffer.concat([bytes(`${ground.path}/dir/`), name]), "");
    for (const name of odd) writeFileSync(Buffer.concat([bytes(`${ground.path}/`), name]), "");
    for (const name of odd) expect(await ground.files.remove(name, plain, never)).toBe(1);
    expect(await ground.files.remove(bytes("dir"), recursive, never)).toBe(odd.length + 1);
    expect(ground.names()).toEqual([]);
  });

  test("goes deeper than a path or the open files of a process can", async () => {
    using ground = openGround();
    const levels = 600;
    const script = `import os\nfor i in range(${levels}):\n os.mkdir("directory"); os.chdir("directory")\nopen("file", "w")`;
    mkdirSync(ground.at("deep"));
    Bun.spawnSync(["python3", "-c", script], { cwd: ground.at("deep") });
    expect(await ground.files.remove(bytes("deep"), recursive, never)).toBe(levels + 2);
    expect(openIn(ground.at("deep"))).toEqual([]);
  }, 30_000);

  testIf(isRoot, "immutable files take root to make")(
    "removes all else when something stays, and says what and why",
    async () => {
      using ground = openGround();
      ground.put("dir/stays/a/immutable");
      ground.put("dir/stays/b");
      ground.put("dir/goes/c");
      if (!Bun.spawnSync(["chattr", "+i", ground.at("dir/stays/a/immutable")]).success)
        return console.warn("Not tested here: chattr is refused");
      const error = await ground.files
        .remove(bytes("dir"), recursive, never)
        .catch((error: unknown) => error);
      Bun.spawnSync(["chattr", "-i", ground.at("dir/stays/a/immutable")]);
      expect(error).toMatchObject({
        code: "os_error",
        message:
          'Cannot remove "dir/stays/a/immutable": the system does not permit that (EPERM); of "dir" 4 entries are left, 3 were removed',
        details: {
          os: "EPERM",
          path: "dir",
          left: 4,
          removed: 3,
          failures: [{ os: "EPERM", path: "dir/stays/a/immutable" }],
        },
      });
      expect([ground.names("dir"), ground.names("dir/stays")]).toEqual([["stays"], ["a"]]);
    },
  );

  testIf(fault === undefined, fault ?? "")(
    "leaves the mount that is in a tree, and the workspace's directory that is mounted there",
    async () => {
      using ground = openGround();
      ground.put("work/file");
      ground.put("tree/other");
      mkdirSync(ground.at("tree/mounted"));
      mkdirSync(ground.at("tree/bound"));
      using _mount = mountOn(ground.at("tree/mounted"), 64 * 1024);
      Bun.spawnSync(["mount", "--bind", ground.at("work"), ground.at("tree/bound")]);
      try {
        const files = new Files({ umask: 0, own: nothing }).access(bytes(ground.at("work")), never);
        const error = await files.remove(bytes("../tree"), recursive, never).catch((error: unknown) => error);
        expect(error).toMatchObject({ code: "os_error", details: { os: "EBUSY", left: 3 } });
        expect([ground.names("tree"), ground.names("work")]).toEqual([["bound", "mounted"], ["file"]]);
      } finally {
        Bun.spawnSync(["umount", "-l", ground.at("tree/bound")]);
      }
    },
  );

  test("stops when it is cancelled, and says how far it came", async () => {
    using ground = openGround();
    for (let index = 0; index < 500; index++) ground.put(`dir/${index}/file`);
    const caller = new AbortController();
    const removing = ground.files
      .remove(bytes("dir"), recursive, caller.signal)
      .catch((error: unknown) => error);
    while (ground.names("dir").length > 400) await new Promise((resolve) => setImmediate(resolve));
    caller.abort(new AppError("cancelled", "The caller cancelled"));
    const error = await removing;
    expect(error).toMatchObject({ code: "cancelled", details: { path: "dir", removed: expect.any(Number) } });
    expect(existsSync(ground.at("dir"))).toBe(true);
  });

  test("lets others in while it removes very many", async () => {
    using ground = openGround();
    mkdirSync(ground.at("dir"));
    for (let index = 0; index < 2_000; index++) writeFileSync(ground.at(`dir/${index}`), "");
    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 5);
    expect(await ground.files.remove(bytes("dir"), recursive, never)).toBe(2_001);
    clearInterval(timer);
    expect(longest).toBeLessThan(1_000);
  }, 30_000);

  test("never removes outside, while somebody swaps a directory of the tree for a link and back", async () => {
    using ground = openGround();
    using outside = openDirectory();
    mkdirSync(join(outside.path, "sub"));
    for (const name of ["canary", "sub/canary"]) writeFileSync(join(outside.path, name), "");
    symlinkSync(outside.path, ground.at("link"));
    const swapper = Bun.spawn(
      [
        "sh",
        "-c",
        "while :; do mkdir -p tree/dir/sub 2>/dev/null; : >tree/dir/sub/file 2>/dev/null; mv -T tree/dir aside 2>/dev/null; cp -P link tree/dir 2>/dev/null; rm -rf tree/dir 2>/dev/null; mv -T aside tree/dir 2>/dev/null; done",
      ],
      { cwd: ground.path, stdout: "ignore", stderr: "ignore" },
    );
    for (let round = 0; round < 300; round++)
      await ground.files.remove(bytes("tree"), recursive, never).catch(() => {});
    swapper.kill("SIGKILL");
    await swapper.exited;
    expect(readdirSync(outside.path).sort()).toEqual(["canary", "sub"]);
    expect(readdirSync(join(outside.path, "sub"))).toEqual(["canary"]);
  }, 60_000);
});
