import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AppError } from "../../../src/protocol/error.ts";
import { findMountFault, mountSmall } from "../../support/directory.ts";
import { bytes, describeTree, never, openGround, refusalOf } from "../../support/files.ts";
import { testIf } from "../../support/test-if.ts";

const plain = { into: false, keep: false };
const fault = findMountFault();

describe("move()", () => {
  test("renames a file, a directory and a link, each as it is", async () => {
    using ground = openGround();
    const { ino } = statSync(ground.put("file"));
    ground.put("dir/sub/file");
    symlinkSync("nowhere", ground.at("link"));
    expect(await ground.files.move(bytes("file"), bytes("new"), plain, never)).toEqual({
      to: bytes("new"),
      kept: false,
    });
    await ground.files.move(bytes("dir/"), bytes("moved/"), plain, never);
    await ground.files.move(bytes("link"), bytes("other"), plain, never);
    expect(statSync(ground.at("new")).ino).toBe(ino);
    expect([ground.names(), ground.names("moved"), readlinkSync(ground.at("other"))]).toEqual([
      ["moved", "new", "other"],
      ["sub"],
      "nowhere",
    ]);
  });

  test("into a directory that is there, and over a file, or leaves alone what is there", async () => {
    using ground = openGround();
    ground.put("a", "new");
    ground.put("b", "old");
    mkdirSync(ground.at("dir"));
    expect(await ground.files.move(bytes("a"), bytes("b"), { ...plain, keep: true }, never)).toEqual({
      to: bytes("b"),
      kept: true,
    });
    expect([ground.get("a"), ground.get("b")]).toEqual(["new", "old"]);
    expect(await ground.files.move(bytes("a"), bytes("c"), { ...plain, keep: true }, never)).toEqual({
      to: bytes("c"),
      kept: false,
    });
    await ground.files.move(bytes("c"), bytes("b"), plain, never);
    expect((await ground.files.move(bytes("b"), bytes("dir"), { ...plain, into: true }, never)).to).toEqual(
      bytes("dir/b"),
    );
    expect([ground.names(), ground.get("dir/b")]).toEqual([["dir"], "new"]);
  });

  test("refuses what is missing, a directory with something in it, a file in a directory's place, and itself", async () => {
    using ground = openGround();
    ground.put("dir/sub/file");
    ground.put("full/dir/file");
    ground.put("file");
    ground.put("over/file/below");
    ground.put("plain/dir");
    const refuse = async (from: string, to: string) => {
      const { os, message } = await refusalOf(ground.files.move(bytes(from), bytes(to), plain, never));
      return [os, message];
    };
    expect((await refuse("none", "new"))[0]).toBe("ENOENT");
    expect((await refuse("file", "no/new"))[0]).toBe("ENOENT");
    expect((await refuse("file", "new/"))[0]).toBe("ENOTDIR");
    expect(await refuse("dir", "full")).toEqual([
      "ENOTEMPTY",
      'Cannot move "dir" to "full/dir": the directory is not empty (ENOTEMPTY)',
    ]);
    expect((await refuse("file", "over"))[0]).toBe("EISDIR");
    expect((await refuse("dir", "plain"))[0]).toBe("ENOTDIR");
    expect(await refuse("dir", "dir/sub")).toEqual([
      "EINVAL",
      'Cannot move "dir" to "dir/sub/dir": it would be in itself (EINVAL)',
    ]);
    expect(await refuse("file", "file")).toEqual([
      "EINVAL",
      'Cannot move "file" to "file": they are the same file (EINVAL)',
    ]);
    expect((await refuse(".", "full"))[0]).toBe("EBUSY");
    expect(ground.names()).toEqual(["dir", "file", "full", "over", "plain"]);
  });

  test("refuses a link onto what it leads to, which would be gone", async () => {
    using ground = openGround();
    ground.put("file", "content");
    symlinkSync("file", ground.at("link"));
    expect(await refusalOf(ground.files.move(bytes("link"), bytes("file"), plain, never))).toMatchObject({
      os: "EINVAL",
      message: 'Cannot move "link" to "file": it leads to what it would replace (EINVAL)',
    });
    expect([ground.names(), ground.get("file")]).toEqual([["file", "link"], "content"]);
  });

  test("of two names of one file takes the first away", async () => {
    using ground = openGround();
    linkSync(ground.put("one", "content"), ground.at("two"));
    await ground.files.move(bytes("one"), bytes("two"), plain, never);
    expect([ground.names(), ground.get("two")]).toEqual([["two"], "content"]);
  });

  test("takes names of any bytes", async () => {
    using ground = openGround();
    const odd = Buffer.from([0x2d, 0xff, 0x0a]);
    writeFileSync(Buffer.concat([bytes(`${ground.path}/`), odd]), "x");
    await ground.files.move(odd, bytes("plain"), plain, never);
    expect((await ground.files.move(bytes("plain"), odd, plain, never)).to).toEqual(odd);
    expect(readdirSync(ground.path, { encoding: "buffer" })).toEqual([odd]);
  });

  testIf(fault === undefined, fault ?? "")(
    "to another file system copies all of it with owners, and then removes it",
    async () => {
      using ground = openGround();
      using other = mountSmall(1024 * 1024);
      chmodSync(ground.put("dir/sub/file", "content"), 0o4751);
      symlinkSync("file", ground.at("dir/sub/link"));
      chownSync(ground.at("dir/sub"), 1234, 4321);
      const before = describeTree(ground.at("dir"));
      expect(await ground.files.move(bytes("dir"), bytes(other.path), plain, never)).toEqual({
        to: bytes(`${other.path}/dir`),
        kept: false,
      });
      expect([describeTree(join(other.path, "dir")), ground.names(), readdirSync(other.path)]).toEqual([
        before,
        [],
        ["dir"],
      ]);
      expect(lstatSync(join(other.path, "dir/sub"))).toMatchObject({ uid: 1234, gid: 4321 });
      expect(lstatSync(join(other.path, "dir/sub/file")).mode & 0o7777).toBe(0o4751);
    },
  );

  testIf(fault === undefined, fault ?? "")(
    "to another file system moves all or nothing: full, with a FIFO in it, or with something in the way",
    async () => {
      using ground = openGround();
      using other = mountSmall(256 * 1024);
      ground.put("large/file", new Uint8Array(1024 * 1024));
      ground.put("odd/file");
      Bun.spawnSync(["mkfifo", ground.at("odd/fifo")]);
      ground.put("full/file");
      mkdirSync(join(other.path, "full"));
      writeFileSync(join(other.path, "full/there"), "");
      const refuse = async (from: string) =>
        (await refusalOf(ground.files.move(bytes(from), bytes(other.path), plain, never))).os;
      expect([await refuse("large"), await refuse("odd"), await refuse("full")]).toEqual([
        "ENOSPC",
        "ENXIO",
        "ENOTEMPTY",
      ]);
      expect([ground.names(), ground.names("odd"), readdirSync(other.path)]).toEqual([
        ["full", "large", "odd"],
        ["fifo", "file"],
        ["full"],
      ]);
    },
  );

  testIf(fault === undefined, fault ?? "")(
    "to another file system that is cancelled leaves everything where it was",
    async () => {
      using ground = openGround();
      using other = mountSmall(16 * 1024 * 1024);
      for (let index = 0; index < 300; index++) ground.put(`dir/${index}`, "x");
      const caller = new AbortController();
      const moving = ground.files
        .move(bytes("dir"), bytes(other.path), plain, caller.signal)
        .catch((error: unknown) => error);
      while (readdirSync(other.path).length === 0) await new Promise((resolve) => setImmediate(resolve));
      caller.abort(new AppError("cancelled", "The caller cancelled"));
      expect(await moving).toMatchObject({ code: "cancelled" });
      expect([ground.names("dir").length, readdirSync(other.path)]).toEqual([300, []]);
    },
  );

  testIf(fault === undefined, fault ?? "")(
    "to another file system replaces a file at once, or leaves it alone",
    async () => {
      using ground = openGround();
      using other = mountSmall(256 * 1024);
      ground.put("file", "new");
      writeFileSync(join(other.path, "file"), "old");
      expect(
        await ground.files.move(bytes("file"), bytes(other.path), { ...plain, keep: true }, never),
      ).toMatchObject({ kept: true });
      await ground.files.move(bytes("file"), bytes(other.path), plain, never);
      expect([readFileSync(join(other.path, "file"), "utf8"), existsSync(ground.at("file"))]).toEqual([
        "new",
        false,
      ]);
    },
  );
});
