import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { AppError } from "../../../src/protocol/error.ts";
import { fillDisk, findMountFault, mountSmall, openDirectory } from "../../support/directory.ts";
import { bytes, describeTree, never, openGround, refusalOf } from "../../support/files.ts";
import { testIf } from "../../support/test-if.ts";

const plain = { recursive: false, into: false, keep: false };
const recursive = { ...plain, recursive: true };
const isRoot = process.getuid?.() === 0;
const fault = findMountFault();

describe("copy()", () => {
  test("copies a file with its mode and times to the nanosecond", async () => {
    using ground = openGround();
    chmodSync(ground.put("file", "content"), 0o640);
    Bun.spawnSync(["touch", "-d", "2001-02-03 04:05:06.123456789", ground.at("file")]);
    const copied = await ground.files.copy(bytes("file"), bytes("copy"), plain, never);
    expect(copied).toMatchObject({ to: bytes("copy"), files: 1, directories: 0, links: 0, bytes: 7 });
    expect(describeTree(ground.at("copy"))).toEqual(describeTree(ground.at("file")));
  });

  test("into a directory that is there, also where a path says so; to a new name otherwise", async () => {
    using ground = openGround();
    ground.put("file");
    mkdirSync(ground.at("dir"));
    symlinkSync("dir", ground.at("link"));
    expect((await ground.files.copy(bytes("file"), bytes("dir"), plain, never)).to).toEqual(
      bytes("dir/file"),
    );
    await ground.files.copy(bytes("file"), bytes("link/"), { ...plain, into: true }, never);
    expect(ground.names("dir")).toEqual(["file"]);
    expect(await refusalOf(ground.files.copy(bytes("file"), bytes("new/"), plain, never))).toMatchObject({
      os: "ENOTDIR",
      path: "new/",
    });
    expect(
      await refusalOf(ground.files.copy(bytes("file"), bytes("new"), { ...plain, into: true }, never)),
    ).toMatchObject({ os: "ENOENT", path: "new" });
    expect(await refusalOf(ground.files.copy(bytes("file"), bytes("no/new"), plain, never))).toMatchObject({
      os: "ENOENT",
      path: "no/new",
    });
    expect(await refusalOf(ground.files.copy(bytes("none"), bytes("new"), plain, never))).toMatchObject({
      os: "ENOENT",
      path: "none",
    });
  });

  test("replaces a file at once, and what a link leads to, or leaves alone what is there", async () => {
    using ground = openGround();
    ground.put("file", "new");
    ground.put("old", "old");
    ground.put("real", "old");
    symlinkSync("real", ground.at("link"));
    const kept = await ground.files.copy(bytes("file"), bytes("old"), { ...plain, keep: true }, never);
    expect([kept.kept, kept.files, ground.get("old")]).toEqual([1, 0, "old"]);
    const before = openSync(ground.at("old"), "r");
    await ground.files.copy(bytes("file"), bytes("old"), plain, never);
    expect([readFileSync(before, "utf8"), ground.get("old")]).toEqual(["old", "new"]);
    closeSync(before);
    await ground.files.copy(bytes("file"), bytes("link"), plain, never);
    expect([ground.get("real"), readlinkSync(ground.at("link"))]).toEqual(["new", "real"]);
  });

  test("refuses a directory unless told to take all of it, and to mix directories with anything else", async () => {
    using ground = openGround();
    ground.put("dir/file");
    ground.put("holder/dir");
    ground.put("other/file/below");
    ground.put("file");
    const refuse = async (from: string, to: string, how = recursive) =>
      (await refusalOf(ground.files.copy(bytes(from), bytes(to), how, never))).os;
    expect(await refuse("dir", "new", plain)).toBe("EISDIR");
    expect(await refuse("dir", "file")).toBe("EEXIST");
    expect(await refuse("dir", "holder")).toBe("EEXIST");
    expect(await refuse("file", "other")).toBe("EISDIR");
    expect(ground.names()).toEqual(["dir", "file", "holder", "other"]);
  });

  test("refuses a file onto itself, and a directory into itself, by whatever way", async () => {
    using ground = openGround();
    ground.put("dir/sub/file");
    symlinkSync("dir/sub", ground.at("link"));
    linkSync(ground.at("dir/sub/file"), ground.at("hard"));
    const refuse = async (from: string, to: string) =>
      (await refusalOf(ground.files.copy(bytes(from), bytes(to), recursive, never))).message;
    expect(await refuse("hard", "dir/sub/file")).toBe(
      'Cannot copy "hard" to "dir/sub/file": they are the same file (EINVAL)',
    );
    expect(await refuse("hard", "hard")).toContain("the same file");
    for (const to of ["dir", "dir/new", "dir/sub", "dir/sub/new", "link", "link/new"])
      expect(await refuse("dir", to)).toContain("it would be in itself (EINVAL)");
    expect(await refuse(".", "dir")).toContain("it would be in itself");
    expect(ground.names("dir/sub")).toEqual(["file"]);
  });

  test("refuses a link onto what it leads to, also among others, which would be gone", async () => {
    using ground = openGround();
    ground.put("file", "content");
    symlinkSync("file", ground.at("link"));
    expect(await refusalOf(ground.files.copy(bytes("link"), bytes("file"), plain, never))).toMatchObject({
      os: "EINVAL",
      message: 'Cannot copy "link": it leads to what it would replace (EINVAL)',
    });
    mkdirSync(ground.at("dir"));
    symlinkSync("../into/file", ground.at("dir/file"));
    ground.put("into/file", "content");
    const copying = ground.files.copy(bytes("dir/."), bytes("into"), recursive, never);
    expect((await refusalOf(copying)).message).toContain("it leads to what it would replace (EINVAL)");
    expect([ground.get("file"), ground.get("into/file")]).toEqual(["content", "content"]);
  });

  test("of `.` and `..` copies what is in them", async () => {
    using ground = openGround();
    ground.put("dir/sub/file");
    await ground.files.copy(bytes("dir/."), bytes("one"), recursive, never);
    mkdirSync(ground.at("two"));
    await ground.files.copy(bytes("dir/sub/.."), bytes("two"), recursive, never);
    expect([ground.names("one"), ground.names("two")]).toEqual([["sub"], ["sub"]]);
  });

  test("adds a tree to one that is there, and follows no link in either", async () => {
    using ground = openGround();
    using outside = openDirectory();
    writeFileSync(join(outside.path, "canary"), "kept");
    ground.put("from/a/new", "1");
    ground.put("from/b/file", "2");
    ground.put("from/canary", "3");
    ground.put("to/from/a/old", "4");
    symlinkSync(outside.path, ground.at("to/from/b"));
    symlinkSync(join(outside.path, "canary"), ground.at("to/from/canary"));
    symlinkSync(outside.path, ground.at("from/link"));
    const error = await ground.files
      .copy(bytes("from"), bytes("to"), recursive, never)
      .catch((error: unknown) => error);
    expect(error).toMatchObject({ details: { os: "ENOTDIR", failed: 1, failures: [{ path: "from/b" }] } });
    expect([
      ground.names("to/from/a"),
      ground.get("to/from/canary"),
      readlinkSync(ground.at("to/from/link")),
    ]).toEqual([["new", "old"], "3", outside.path]);
    expect([readdirSync(outside.path), readFileSync(join(outside.path, "canary"), "utf8")]).toEqual([
      ["canary"],
      "kept",
    ]);
  });

  test("skips FIFOs, sockets and devices in a tree, says which, and refuses one by itself", async () => {
    using ground = openGround();
    ground.put("dir/file");
    Bun.spawnSync(["mkfifo", ground.at("dir/fifo")]);
    using _listener = Bun.listen({ unix: ground.at("dir/socket"), socket: { data() {} } });
    const copied = await ground.files.copy(bytes("dir"), bytes("new"), recursive, never);
    expect(copied).toMatchObject({ files: 1, skipped: 2 });
    expect(copied.skips.map(({ path, type }) => `${path} ${type}`).sort()).toEqual([
      "dir/fifo fifo",
      "dir/socket socket",
    ]);
    expect(ground.names("new")).toEqual(["file"]);
    expect(await refusalOf(ground.files.copy(bytes("dir/fifo"), bytes("x"), plain, never))).toMatchObject({
      os: "ENXIO",
      path: "dir/fifo",
    });
    expect(await refusalOf(ground.files.copy(bytes("/dev/zero"), bytes("x"), plain, never))).toMatchObject({
      os: "ENXIO",
    });
    expect(
      await refusalOf(ground.files.copy(bytes("dir/file"), bytes("dir/fifo"), plain, never)),
    ).toMatchObject({ os: "ENXIO" });
  });

  test("keeps holes, at the end and between, of a file larger than the disk", async () => {
    using ground = openGround();
    const file = openSync(ground.at("sparse"), "w");
    writeSync(file, "begin", 0);
    writeSync(file, "middle", 2 ** 39);
    ftruncateSync(file, 2 ** 40);
    closeSync(file);
    const { bytes: size } = await ground.files.copy(bytes("sparse"), bytes("copy"), plain, never);
    const { size: copied, blocks } = statSync(ground.at("copy"));
    expect([size, copied]).toEqual([2 ** 40, 2 ** 40]);
    expect(blocks * 512).toBeLessThan(1024 * 1024);
    const tail = Buffer.alloc(8);
    const copy = openSync(ground.at("copy"), "r");
    (await import("node:fs")).readSync(copy, tail, 0, 8, 2 ** 39);
    closeSync(copy);
    expect(tail.toString()).toBe("middle\0\0");
  });

  test("copies files whose size says nothing", async () => {
    using ground = openGround();
    await ground.files.copy(bytes("/proc/self/status"), bytes("status"), plain, never);
    expect(ground.get("status")).toContain("Name:");
  });

  testIf(isRoot, "another's file takes root to make")(
    "gives nobody a program that runs as another",
    async () => {
      using ground = openGround();
      chownSync(ground.put("theirs"), 1234, 1234);
      chmodSync(ground.at("theirs"), 0o6755);
      await ground.files.copy(bytes("theirs"), bytes("mine"), plain, never);
      expect([ground.mode("mine"), lstatSync(ground.at("mine")).uid]).toEqual([0o755, 0]);
    },
  );

  testIf(fault === undefined, fault ?? "")(
    "on a full disk copies what it can, leaves nothing half-copied, and says what is missing",
    async () => {
      using from = openGround();
      using small = mountSmall(256 * 1024);
      from.put("dir/large", new Uint8Array(1024 * 1024));
      from.put("dir/little", "x");
      writeFileSync(join(small.path, "large"), "old");
      const error = await from.files
        .copy(bytes("dir"), bytes(small.path), recursive, never)
        .catch((error: unknown) => error);
      expect(error).toMatchObject({
        code: "os_error",
        details: { os: "ENOSPC", files: 1, failed: 1, failures: [{ os: "ENOSPC", path: "dir/large" }] },
      });
      expect(readdirSync(join(small.path, "dir"))).toEqual(["little"]);
      using _full = fillDisk(small.path);
      const refused = await refusalOf(from.files.copy(bytes("dir/large"), bytes(small.path), plain, never));
      expect([refused.os, readFileSync(join(small.path, "large"), "utf8")]).toEqual(["ENOSPC", "old"]);
      expect(readdirSync(small.path).sort()).toEqual(["dir", "filler", "large"]);
    },
  );

  test("of a file that becomes shorter meanwhile fails, and leaves what was there", async () => {
    using ground = openGround();
    ground.put("file", new Uint8Array(64 * 1024 * 1024));
    ground.put("copy", "old");
    const copying = refusalOf(ground.files.copy(bytes("file"), bytes("copy"), plain, never));
    while (!ground.names().some((name) => name.endsWith(".tmp")))
      await new Promise((resolve) => setImmediate(resolve));
    truncateSync(ground.at("file"), 10);
    expect((await copying).os).toBe("EIO");
    expect([ground.get("copy"), ground.names()]).toEqual(["old", ["copy", "file"]]);
  });

  test("stops when it is cancelled, leaves no part of a file, and says how far it came", async () => {
    using ground = openGround();
    for (let index = 0; index < 300; index++) ground.put(`dir/${index}/file`, "x".repeat(1_000));
    const caller = new AbortController();
    const copying = ground.files
      .copy(bytes("dir"), bytes("new"), recursive, caller.signal)
      .catch((error: unknown) => error);
    while (!ground.names().includes("new") || ground.names("new").length < 20)
      await new Promise((resolve) => setImmediate(resolve));
    caller.abort(new AppError("cancelled", "The caller cancelled"));
    expect(await copying).toMatchObject({ code: "cancelled", details: { files: expect.any(Number) } });
    const left = [...new Bun.Glob("**/*").scanSync({ cwd: ground.at("new"), dot: true })];
    expect(left.length).toBeLessThan(300);
    for (const path of left) expect(ground.get(`new/${path}`)).toHaveLength(1_000);
  });

  test("copies any tree as it is", async () => {
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 12 })
      .map((bytes) => Buffer.from(bytes).toString("latin1").replace(/[\0/]/g, "_"))
      .filter((name) => name !== "." && name !== "..");
    const mode = fc.constantFrom(0o400, 0o644, 0o755, 0o600);
    const leaf = fc.oneof(
      fc.record({
        type: fc.constant("file" as const),
        content: fc.uint8Array({ maxLength: 64 }),
        mode,
        time: fc.integer({ min: -1_000, max: 4_000_000_000 }),
      }),
      fc.record({ type: fc.constant("link" as const), target: name }),
    );
    type Node =
      | { type: "file"; content: Uint8Array; mode: number; time: number }
      | { type: "link"; target: string }
      | { type: "directory"; entries: Record<string, Node>; mode: number; time: number };
    const { tree } = fc.letrec<{ tree: Node; node: Node }>((tie) => ({
      node: fc.oneof({ maxDepth: 3 }, leaf as fc.Arbitrary<Node>, tie("tree")),
      tree: fc.record({
        type: fc.constant("directory" as const),
        entries: fc.dictionary(name, tie("node"), { maxKeys: 4 }),
        mode: fc.constantFrom(0o700, 0o755, 0o1777),
        time: fc.nat(4_000_000_000),
      }) as fc.Arbitrary<Node>,
    }));
    const make = (path: Buffer, node: Node): void => {
      if (node.type === "link") return symlinkSync(Buffer.from(node.target, "latin1"), path);
      if (node.type === "file") writeFileSync(path, node.content);
      else {
        mkdirSync(path);
        for (const [name, child] of Object.entries(node.entries))
          make(Buffer.concat([path, bytes("/"), Buffer.from(name, "latin1")]), child);
      }
      utimesSync(path, node.time, node.time + 0.25);
      chmodSync(path, node.mode);
    };
    await fc.assert(
      fc.asyncProperty(tree, async (node) => {
        using ground = openGround();
        make(bytes(ground.at("from")), node);
        await ground.files.copy(bytes("from"), bytes("to"), recursive, never);
        expect(describeTree(ground.at("to"))).toEqual(describeTree(ground.at("from")));
      }),
      { numRuns: 40 },
    );
  }, 60_000);

  test("never copies from outside, while somebody swaps a directory of the tree for a link and back", async () => {
    using ground = openGround();
    using outside = openDirectory();
    writeFileSync(join(outside.path, "secret"), "");
    ground.put("tree/dir/file");
    symlinkSync(outside.path, ground.at("link"));
    const swapper = Bun.spawn(
      [
        "sh",
        "-c",
        "while :; do mv -T tree/dir aside; cp -P link tree/dir; rm -f tree/dir; mv -T aside tree/dir; done",
      ],
      { cwd: ground.path, stdout: "ignore", stderr: "ignore" },
    );
    for (let round = 0; round < 200; round++) {
      await ground.files.copy(bytes("tree"), bytes(`copy${round}`), recursive, never).catch(() => {});
      const copied = [...new Bun.Glob("**").scanSync({ cwd: ground.at(`copy${round}`), onlyFiles: false })];
      expect(copied.filter((path) => path.endsWith("secret"))).toEqual([]);
    }
    swapper.kill("SIGKILL");
    await swapper.exited;
  }, 60_000);
});
