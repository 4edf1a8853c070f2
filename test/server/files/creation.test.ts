import { describe, expect, test } from "bun:test";
import { chmodSync, lstatSync, symlinkSync, utimesSync } from "node:fs";
import { bytes, openGround, refusalOf } from "../../support/files.ts";
import { testIf } from "../../support/test-if.ts";

const plain = { parents: false, mayExist: false, mode: undefined };
const parents = { parents: true, mayExist: true, mode: undefined };
const isRoot = process.getuid?.() === 0;

describe("makeDirectory()", () => {
  test("makes one with what the umask of the server's start leaves, and answers it", async () => {
    using ground = openGround({ umask: 0o027 });
    expect(await ground.files.makeDirectory(bytes("dir"), plain)).toEqual([bytes("dir")]);
    expect(ground.mode("dir")).toBe(0o750);
  });

  test("sets exactly the mode that it is given", async () => {
    using ground = openGround({ umask: 0o077 });
    await ground.files.makeDirectory(bytes("dir"), { ...plain, mode: 0o1777 });
    await ground.files.makeDirectory(bytes("closed"), { ...plain, mode: 0 });
    expect([ground.mode("dir"), ground.mode("closed")]).toEqual([0o1777, 0]);
  });

  test("refuses where anything is, directory, file or link that leads nowhere", async () => {
    using ground = openGround();
    ground.put("dir/file");
    symlinkSync("nowhere", ground.at("link"));
    for (const path of ["dir", "dir/file", "link", "dir/"])
      expect(await refusalOf(ground.files.makeDirectory(bytes(path), plain))).toEqual({
        os: "EEXIST",
        path,
        message: `Cannot make directory "${path}": it exists already (EEXIST)`,
      });
  });

  test("refuses a missing parent, and with parents makes all that it is in", async () => {
    using ground = openGround();
    expect(await refusalOf(ground.files.makeDirectory(bytes("a/b/c"), plain))).toMatchObject({
      os: "ENOENT",
      path: "a/b/c",
    });
    expect(ground.names()).toEqual([]);
    const made = await ground.files.makeDirectory(bytes("a/b/c"), { ...parents, mode: 0o700 });
    expect(made.map(String)).toEqual(["a", "a/b", "a/b/c"]);
    expect([ground.mode("a"), ground.mode("a/b"), ground.mode("a/b/c")]).toEqual([0o755, 0o755, 0o700]);
  });

  test("with parents takes a directory that is there, and nothing else", async () => {
    using ground = openGround();
    ground.put("dir/file");
    symlinkSync("dir", ground.at("link"));
    chmodSync(ground.at("dir"), 0o711);
    expect(await ground.files.makeDirectory(bytes("dir"), parents)).toEqual([]);
    expect(await ground.files.makeDirectory(bytes("link"), parents)).toEqual([]);
    expect(ground.mode("dir")).toBe(0o711);
    expect(await refusalOf(ground.files.makeDirectory(bytes("dir/file"), parents))).toMatchObject({
      os: "EEXIST",
    });
    expect(await refusalOf(ground.files.makeDirectory(bytes("dir/file/x"), parents))).toMatchObject({
      os: "ENOTDIR",
    });
    const once = { ...parents, mayExist: false };
    expect(await refusalOf(ground.files.makeDirectory(bytes("dir"), once))).toMatchObject({ os: "EEXIST" });
  });

  test("is done once when ten make the same", async () => {
    using ground = openGround();
    const making = Array.from({ length: 10 }, () => ground.files.makeDirectory(bytes("a/b/c"), parents));
    const made = (await Promise.all(making)).flat().map(String);
    expect(made.sort()).toEqual(["a", "a/b", "a/b/c"]);
  });

  test("leaves a directory its group, as the directory that it is in has it", async () => {
    using ground = openGround();
    chmodSync(ground.path, 0o2755);
    await ground.files.makeDirectory(bytes("dir"), plain);
    expect(ground.mode("dir")).toBe(0o2755);
  });

  test("takes names of any bytes", async () => {
    using ground = openGround();
    const name = Buffer.from([0xff, 0xfe]);
    const made = await ground.files.makeDirectory(Buffer.concat([bytes("a/"), name]), parents);
    expect(made.at(-1)).toEqual(Buffer.concat([bytes("a/"), name]));
    expect(lstatSync(Buffer.concat([bytes(`${ground.path}/a/`), name])).isDirectory()).toBe(true);
  });
});

describe("touch()", () => {
  test("makes an empty file with what the umask of the server's start leaves", async () => {
    using ground = openGround({ umask: 0o002 });
    expect(await ground.files.touch(bytes("new"))).toBe(true);
    expect([ground.get("new"), ground.mode("new")]).toEqual(["", 0o664]);
  });

  test("sets the time of a file to now, and changes nothing in it", async () => {
    using ground = openGround();
    utimesSync(ground.put("file", "content"), 1, 1);
    const before = Date.now() - 1_000;
    expect(await ground.files.touch(bytes("file"))).toBe(false);
    expect(lstatSync(ground.at("file")).mtimeMs).toBeGreaterThan(before);
    expect(ground.get("file")).toBe("content");
  });

  test("goes through links, and refuses directories and missing parents", async () => {
    using ground = openGround();
    utimesSync(ground.put("dir/file"), 1, 1);
    symlinkSync("dir/file", ground.at("link"));
    symlinkSync("dir/new", ground.at("dangling"));
    await ground.files.touch(bytes("link"));
    await ground.files.touch(bytes("dangling"));
    expect(lstatSync(ground.at("dir/file")).mtimeMs).toBeGreaterThan(1_000);
    expect(ground.names("dir")).toEqual(["file", "new"]);
    expect(await refusalOf(ground.files.touch(bytes("dir")))).toEqual({
      os: "EISDIR",
      path: "dir",
      message: 'Cannot touch "dir": it is a directory (EISDIR)',
    });
    expect(await refusalOf(ground.files.touch(bytes("no/file")))).toMatchObject({ os: "ENOENT" });
    expect(await refusalOf(ground.files.touch(bytes("new/")))).toMatchObject({ os: "ENOENT" });
  });

  testIf(isRoot, "other users take root")(
    "sets the time of another's file for whoever may write it",
    async () => {
      using ground = openGround();
      chmodSync(ground.path, 0o755);
      utimesSync(ground.put("file"), 1, 1);
      chmodSync(ground.at("file"), 0o666);
      const root = new URL("../../..", import.meta.url).pathname;
      const script = `
      const { Files } = await import("${root}src/server/files/files.ts");
      process.setgid?.(4321); process.setuid?.(4321);
      await new Files({ umask: 0, own: () => ({ sealed: [], fixed: [] }) }).access(Buffer.from("${ground.path}"), new AbortController().signal).touch(Buffer.from("file"));`;
      const { stderr } = Bun.spawnSync([process.execPath, "-e", script], { cwd: "/" });
      expect(stderr.toString()).toBe("");
      expect(lstatSync(ground.at("file")).mtimeMs).toBeGreaterThan(1_000);
    },
  );

  test("waits for no FIFO", async () => {
    using ground = openGround();
    Bun.spawnSync(["mkfifo", ground.at("fifo")]);
    utimesSync(ground.at("fifo"), 1, 1);
    expect(await ground.files.touch(bytes("fifo"))).toBe(false);
    expect(lstatSync(ground.at("fifo")).mtimeMs).toBeGreaterThan(1_000);
  });
});
