import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { AppError } from "../../../src/protocol/error.ts";
import { fillDisk, findMountFault, mountSmall, openDirectory } from "../../support/directory.ts";
import { bytes, chunks, never, openGround, refusalOf } from "../../support/files.ts";
import { testIf } from "../../support/test-if.ts";

const replace = { manner: "replace", mode: undefined } as const;
const append = { manner: "append", mode: undefined } as const;
const create = { manner: "create", mode: undefined } as const;

const isRoot = process.getuid?.() === 0;
const fault = findMountFault();

describe("write()", () => {
  test("makes a file of all that comes, with the mode that the umask of the server's start leaves", async () => {
    using ground = openGround({ umask: 0o027 });
    const written = await ground.files.write(bytes("new"), chunks("a", "", "b\0c"), replace, never);
    expect(written).toEqual({ bytes: 4, created: true });
    expect([ground.get("new"), ground.mode("new"), ground.names()]).toEqual(["ab\0c", 0o640, ["new"]]);
  });

  test("makes an empty file when nothing comes", async () => {
    using ground = openGround();
    expect(await ground.files.write(bytes("empty"), chunks(), replace, never)).toEqual({
      bytes: 0,
      created: true,
    });
    expect(ground.get("empty")).toBe("");
  });

  test("replaces a file at once: whoever has the old one open reads on in that", async () => {
    using ground = openGround();
    ground.put("file", "old");
    const { ino } = statSync(ground.at("file"));
    const written = ground.files.write(bytes("file"), late(ground.at("file"), "old"), replace, never);
    expect(await written).toEqual({ bytes: 3, created: false });
    expect(ground.get("file")).toBe("new");
    expect(statSync(ground.at("file")).ino).not.toBe(ino);

    async function* late(path: string, content: string) {
      yield bytes("ne");
      expect(readFileSync(path, "utf8")).toBe(content);
      yield bytes("w");
    }
  });

  test("keeps the mode of what it replaces, and sets exactly the mode that it is given", async () => {
    using ground = openGround();
    chmodSync(ground.put("script", "old"), 0o4751);
    await ground.files.write(bytes("script"), chunks("new"), replace, never);
    expect(ground.mode("script")).toBe(0o4751);
    await ground.files.write(bytes("script"), chunks("new"), { manner: "replace", mode: 0o666 }, never);
    expect(ground.mode("script")).toBe(0o666);
  });

  testIf(isRoot, "giving files away takes root")("keeps the owner of what it replaces", async () => {
    using ground = openGround();
    chownSync(ground.put("theirs", "old"), 1234, 4321);
    await ground.files.write(bytes("theirs"), chunks("new"), replace, never);
    expect(lstatSync(ground.at("theirs"))).toMatchObject({ uid: 1234, gid: 4321 });
  });

  test("never lets others read what replaces a secret, not even while it is written", async () => {
    using ground = openGround();
    chmodSync(ground.put("secret", "old"), 0o600);
    async function* look() {
      const [temporary = ""] = ground.names().filter((name) => name.endsWith(".tmp"));
      expect(ground.mode(temporary)).toBe(0o600);
      yield bytes("new");
    }
    await ground.files.write(bytes("secret"), look(), replace, never);
    expect(ground.mode("secret")).toBe(0o600);
  });

  test("writes through links what they lead to, also where that is not there yet", async () => {
    using ground = openGround();
    ground.put("dir/real", "old");
    symlinkSync("dir/real", ground.at("link"));
    symlinkSync(ground.at("link"), ground.at("chain"));
    symlinkSync("dir/missing", ground.at("dangling"));
    await ground.files.write(bytes("chain"), chunks("new"), replace, never);
    await ground.files.write(bytes("dangling"), chunks("made"), replace, never);
    expect([ground.get("dir/real"), ground.get("dir/missing")]).toEqual(["new", "made"]);
    expect([readlinkSync(ground.at("link")), readlinkSync(ground.at("dangling"))]).toEqual([
      "dir/real",
      "dir/missing",
    ]);
    symlinkSync("loop", ground.at("loop"));
    expect(await refusalOf(ground.files.write(bytes("loop"), chunks(), replace, never))).toMatchObject({
      os: "ELOOP",
    });
  });

  testIf(isRoot, "a stranger's link takes root to make")(
    "follows no stranger's link in a directory that all share",
    async () => {
      using ground = openGround();
      ground.put("prey", "old");
      mkdirSync(ground.at("shared"));
      chmodSync(ground.at("shared"), 0o1777);
      Bun.spawnSync(["ln", "-s", ground.at("prey"), ground.at("shared/trap")]);
      Bun.spawnSync(["chown", "-h", "1234", ground.at("shared/trap")]);
      const refused = await refusalOf(
        ground.files.write(bytes("shared/trap"), chunks("new"), replace, never),
      );
      expect([refused.os, ground.get("prey")]).toEqual(["EACCES", "old"]);
    },
  );

  test("with create makes only what is not there, whatever stands in its place", async () => {
    using ground = openGround();
    expect(await ground.files.write(bytes("new"), chunks("a"), create, never)).toMatchObject({
      created: true,
    });
    symlinkSync("nowhere", ground.at("dangling"));
    for (const name of ["new", "dangling"]) {
      const refused = await refusalOf(ground.files.write(bytes(name), chunks("b"), create, never));
      expect([refused.os, refused.path]).toEqual(["EEXIST", name]);
    }
    expect([ground.get("new"), ground.names()]).toEqual(["a", ["dangling", "new"]]);
  });

  test("with create refuses what came while it wrote", async () => {
    using ground = openGround();
    async function* slow() {
      yield bytes("mine");
      ground.put("file", "theirs");
    }
    expect(await refusalOf(ground.files.write(bytes("file"), slow(), create, never))).toMatchObject({
      os: "EEXIST",
    });
    expect([ground.get("file"), ground.names()]).toEqual(["theirs", ["file"]]);
  });

  test("with append writes behind what there is, and makes what is not", async () => {
    using ground = openGround();
    expect(await ground.files.write(bytes("log"), chunks("a\n"), append, never)).toEqual({
      bytes: 2,
      created: true,
    });
    expect(await ground.files.write(bytes("log"), chunks("b\n", "c\n"), append, never)).toEqual({
      bytes: 4,
      created: false,
    });
    expect([ground.get("log"), ground.mode("log")]).toEqual(["a\nb\nc\n", 0o644]);
  });

  test("with append keeps the file itself, with all its names", async () => {
    using ground = openGround();
    linkSync(ground.put("one", "a"), ground.at("two"));
    await ground.files.write(bytes("one"), chunks("b"), append, never);
    expect(ground.get("two")).toBe("ab");
  });

  test("refuses directories, FIFOs, sockets and devices, and waits for none of them", async () => {
    using ground = openGround();
    mkdirSync(ground.at("dir"));
    Bun.spawnSync(["mkfifo", ground.at("fifo")]);
    using _listener = Bun.listen({ unix: ground.at("socket"), socket: { data() {} } });
    for (const how of [replace, append]) {
      expect(await refusalOf(ground.files.write(bytes("dir"), chunks("x"), how, never))).toMatchObject({
        os: "EISDIR",
        path: "dir",
      });
      expect(await refusalOf(ground.files.write(bytes("fifo"), chunks("x"), how, never))).toEqual({
        os: "ENXIO",
        path: "fifo",
        message: 'Cannot write "fifo": it is a FIFO, and only files are written (ENXIO)',
      });
      expect(await refusalOf(ground.files.write(bytes("socket"), chunks("x"), how, never))).toMatchObject({
        os: "ENXIO",
      });
      expect(await refusalOf(ground.files.write(bytes("/dev/null"), chunks("x"), how, never))).toMatchObject({
        os: "ENXIO",
      });
    }
    expect(ground.names()).toEqual(["dir", "fifo", "socket"]);
  });

  test("refuses a missing parent, a file on the way, a name that is too long and one that ends in a slash", async () => {
    using ground = openGround();
    ground.put("file", "old");
    const refuse = async (name: string) =>
      (await refusalOf(ground.files.write(bytes(name), chunks("x"), replace, never))).os;
    expect(await refuse("missing/file")).toBe("ENOENT");
    expect(await refuse("file/below")).toBe("ENOTDIR");
    expect(await refuse("n".repeat(256))).toBe("ENAMETOOLONG");
    expect(await refuse("file/")).toBe("ENOTDIR");
    expect(await refuse("new/")).toBe("EISDIR");
    expect([ground.names(), ground.get("file")]).toEqual([["file"], "old"]);
  });

  test("takes names of any bytes", async () => {
    using ground = openGround();
    const name = Buffer.from([0x61, 0xff, 0x0a, 0x2d]);
    await ground.files.write(name, chunks("x"), replace, never);
    expect(ground.names().length).toBe(1);
    expect(readFileSync(Buffer.concat([bytes(`${ground.path}/`), name]), "utf8")).toBe("x");
  });

  test("that is cancelled leaves the old content and nothing else, though more never comes", async () => {
    using ground = openGround();
    ground.put("file", "old");
    const caller = new AbortController();
    async function* stalled() {
      yield bytes("half");
      caller.abort(new AppError("cancelled", "The caller cancelled"));
      await new Promise(() => {});
    }
    const refused = await ground.files
      .write(bytes("file"), stalled(), replace, caller.signal)
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "cancelled" });
    expect([ground.get("file"), ground.names()]).toEqual(["old", ["file"]]);
  });

  test("that is cancelled while it appends tells how much stands in the file", async () => {
    using ground = openGround();
    const caller = new AbortController();
    async function* stalled() {
      yield bytes("half");
      await new Promise((resolve) => setImmediate(resolve));
      caller.abort(new AppError("cancelled", "The caller cancelled"));
      await new Promise(() => {});
    }
    const refused = await ground.files
      .write(bytes("file"), stalled(), append, caller.signal)
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "cancelled", details: { written: 4, path: "file" } });
    expect(ground.get("file")).toBe("half");
  });

  test("of two that write one file leaves that of the last, whole", async () => {
    using ground = openGround();
    for (let round = 0; round < 50; round++) {
      const contents = ["a", "b", "c"].map((letter) => letter.repeat(50_000));
      await Promise.all(
        contents.map((content) =>
          ground.files.write(
            bytes("file"),
            chunks(content.slice(0, 9_999), content.slice(9_999)),
            replace,
            never,
          ),
        ),
      );
      expect(contents).toContain(ground.get("file"));
    }
    expect(ground.names()).toEqual(["file"]);
  });

  test("replaces a program that runs", async () => {
    using ground = openGround();
    Bun.spawnSync(["cp", "/bin/sleep", ground.at("program")]);
    await using running = Bun.spawn([ground.at("program"), "1000"]);
    await ground.files.write(bytes("program"), chunks("new"), replace, never);
    expect([ground.get("program"), ground.mode("program"), running.exitCode]).toEqual(["new", 0o700, null]);
  });

  test("clears away what a server that was killed has left, and nothing that somebody still writes", async () => {
    using ground = openGround();
    const stale = `.farhand-${"0".repeat(32)}.tmp`;
    ground.put(stale, "half");
    ground.put(".farhand-of-mine.tmp", "kept");
    const other = new AbortController();
    async function* slow() {
      yield bytes("half");
      await ground.files.write(bytes("file"), chunks("whole"), replace, never);
      other.abort(new AppError("cancelled", "The caller cancelled"));
      await new Promise(() => {});
    }
    // Two servers: each clears a directory once.
    const elsewhere = openGround({ on: { path: ground.path, [Symbol.dispose]() {} } });
    await elsewhere.files.write(bytes("other"), slow(), replace, other.signal).catch(() => {});
    expect(ground.names()).toEqual([".farhand-of-mine.tmp", "file"]);
  });

  testIf(fault === undefined, fault ?? "")(
    "on a full disk leaves the old content and no temporary, and goes on when there is room",
    async () => {
      using ground = openGround({ on: mountSmall(256 * 1024) });
      ground.put("file", "old");
      {
        using _full = fillDisk(ground.path);
        const refused = await refusalOf(
          ground.files.write(bytes("file"), chunks(new Uint8Array(64 * 1024)), replace, never),
        );
        expect([refused.os, refused.path, ground.get("file")]).toEqual(["ENOSPC", "file", "old"]);
        expect(ground.names()).toEqual(["file", "filler"]);
      }
      await ground.files.write(bytes("file"), chunks("new"), replace, never);
      expect(ground.get("file")).toBe("new");
    },
  );

  testIf(fault === undefined, fault ?? "")("tells a read-only file system from other refusals", async () => {
    using directory = mountSmall(64 * 1024);
    using ground = openGround({ on: directory });
    ground.put("file", "old");
    Bun.spawnSync(["mount", "-o", "remount,ro", ground.path]);
    expect(await refusalOf(ground.files.write(bytes("file"), chunks("x"), replace, never))).toMatchObject({
      os: "EROFS",
      path: "file",
    });
  });

  testIf(isRoot, "an immutable file takes root to make")(
    "leaves an immutable file, and nothing beside it",
    async () => {
      using ground = openGround();
      ground.put("file", "old");
      if (!Bun.spawnSync(["chattr", "+i", ground.at("file")]).success)
        return console.warn("Not tested here: chattr is refused");
      const refused = await refusalOf(ground.files.write(bytes("file"), chunks("x"), replace, never));
      Bun.spawnSync(["chattr", "-i", ground.at("file")]);
      expect([refused.os, ground.get("file"), ground.names()]).toEqual(["EPERM", "old", ["file"]]);
    },
  );

  test("never writes outside the directory that it has opened, whoever swaps that for a link meanwhile", async () => {
    using ground = openGround();
    using outside = openDirectory();
    mkdirSync(ground.at("dir"));
    async function* swapped() {
      yield bytes("half");
      Bun.spawnSync(["mv", ground.at("dir"), ground.at("moved")]);
      symlinkSync(outside.path, ground.at("dir"));
    }
    await ground.files.write(bytes("dir/file"), swapped(), replace, never);
    expect(ground.names("moved")).toEqual(["file"]);
    expect(readFileSync(join(ground.at("moved"), "file"), "utf8")).toBe("half");
  });
});
