import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, linkSync, lstatSync, mkdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { FileAccess } from "../../../src/commands/access/files.ts";
import { turn } from "../../../src/lib/abort.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { findMountFault } from "../../support/directory.ts";
import { bytes, chunks, type Ground, never, openGround } from "../../support/files.ts";
import { openExchange } from "../../support/exchange.ts";
import { testIf } from "../../support/test-if.ts";

setDefaultTimeout(60_000);

const replace = { manner: "replace", mode: undefined } as const;
const fault = findMountFault();
const plain = { into: false, keep: false };
const tree = { ...plain, recursive: true };

/** `root` is what may be used; `outside` is beside it, and `root/out` a link to that. */
function setup(roots: readonly (readonly string[])[] = [["root"]]): Ground {
  const ground = openGround({ roots });
  ground.put("root/file", "inside");
  ground.put("root/sub/deep", "deeper");
  ground.put("outside/canary", "secret");
  symlinkSync(ground.at("outside"), ground.at("root/out"));
  symlinkSync("../outside/canary", ground.at("root/canary"));
  return ground;
}

/** Everything that can be done with one path. */
function attempts({ files }: Ground, path: string): Record<string, () => Promise<unknown>> {
  const at = bytes(path);
  return {
    inspect: () => files.inspect(at),
    follow: () => files.inspect(at, { follow: true }),
    list: () => Array.fromAsync(files.list(at, never)),
    open: async () => {
      await using file = await files.open(at);
      return file.status;
    },
    mount: () => files.findMount(at),
    mkdir: () => files.makeDirectory(at, { parents: false, mayExist: true, mode: undefined }),
    parents: () => files.makeDirectory(at, { parents: true, mayExist: true, mode: undefined }),
    touch: () => files.touch(at),
    remove: () => files.remove(at, { recursive: true }, never),
    write: () => files.write(at, chunks("gotcha"), replace, never),
    append: () => files.write(at, chunks("gotcha"), { ...replace, manner: "append" }, never),
    create: () => files.write(at, chunks("gotcha"), { ...replace, manner: "create" }, never),
    copyFrom: () => files.copy(at, bytes("root/copy"), tree, never),
    copyTo: () => files.copy(bytes("root/sub"), at, tree, never),
    moveFrom: () => files.move(at, bytes("root/moved"), plain, never),
    moveTo: () => files.move(bytes("root/sub"), at, plain, never),
  };
}

async function refusalOf(attempt: () => Promise<unknown>): Promise<AppError | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

/** What each of these answers: `forbidden`, or another code, or undefined where it was done. */
async function codesOf(ground: Ground, path: string, but: readonly string[] = []) {
  const answers = Object.entries(attempts(ground, path)).filter(([name]) => !but.includes(name));
  const codes: Record<string, string | undefined> = {};
  for (const [name, attempt] of answers) codes[name] = (await refusalOf(attempt))?.code;
  return codes;
}

function all(codes: Record<string, string | undefined>, code: string): Record<string, string> {
  return Object.fromEntries(Object.keys(codes).map((name) => [name, code]));
}

/** Links themselves may be looked at and removed: they are in the root. */
const OF_LINK = ["inspect", "remove", "copyFrom", "moveFrom", "moveTo", "create", "copyTo"];

describe("a confined caller", () => {
  const ways: Record<string, (ground: Ground) => string> = {
    "..": () => "root/../outside/canary",
    "several ..": () => "root/sub/../../outside/canary",
    "an absolute path": ({ at }) => at("outside/canary"),
    "a path of the system": () => "/etc/passwd",
    "the root of all files": () => "/",
    "the directory above": () => "root/..",
    "a directory whose name begins alike": ({ at }) => at("rooted"),
    "a link on the way": () => "root/out/canary",
    "a link on the way, and ..": () => "root/out/../outside/canary",
    "/proc/self/root": ({ at }) => `/proc/self/root${at("outside/canary")}`,
    "/proc/self/root into the root": ({ at }) => `/proc/self/root${at("root/file")}`,
    "/proc/self/cwd": () => "/proc/self/cwd/package.json",
    "a descriptor of /proc": () => "/proc/self/fd/0",
    "a descriptor of the server's parent": () => `/proc/${process.ppid}/fd/0`,
    "/dev/fd": () => "/dev/fd/0",
    "/dev/null": () => "/dev/null",
    "what is not there": ({ at }) => at("outside/nothing"),
    "what is not there in what is not there": ({ at }) => at("nowhere/nothing"),
    "a file as a directory": ({ at }) => at("outside/canary/x"),
    "a name that is too long": ({ at }) => at(`outside/${"x".repeat(300)}`),
  };
  for (const [name, toPath] of Object.entries(ways))
    test(`leaves its root by nothing: ${name}`, async () => {
      using ground = setup();
      const codes = await codesOf(ground, toPath(ground));
      expect(codes).toEqual(all(codes, "forbidden"));
      expect([ground.get("outside/canary"), ground.names("outside")]).toEqual(["secret", ["canary"]]);
      expect(ground.names()).toEqual(["outside", "root"]);
    });

  for (const target of ["/proc/self/root/etc/passwd", "/dev/fd/0", "/proc/self/fd/0", "/proc/self/cwd"])
    test(`follows no link that says ${target}`, async () => {
      using ground = setup();
      symlinkSync(target, ground.at("root/link"));
      const codes = await codesOf(ground, "root/link", OF_LINK);
      expect(codes).toEqual(all(codes, "forbidden"));
    });

  test("follows no link to outside at the end of a path, and writes none through it", async () => {
    using ground = setup();
    const codes = await codesOf(ground, "root/canary", OF_LINK);
    expect(codes).toEqual(all(codes, "forbidden"));
    expect(ground.get("outside/canary")).toBe("secret");
    expect((await ground.files.inspect(bytes("root/canary"))).target).toEqual({ name: "../outside/canary" });
    await ground.files.copy(bytes("root/file"), bytes("root/other"), tree, never);
    expect(
      (await refusalOf(() => ground.files.copy(bytes("root/file"), bytes("root/canary"), tree, never)))?.code,
    ).toBe("forbidden");
    await ground.files.remove(bytes("root/canary"), { recursive: false }, never);
    expect(ground.get("outside/canary")).toBe("secret");
  });

  test("follows chains of links, and is told of a circle as of any other", async () => {
    using ground = setup();
    for (const [name, target] of [
      ["a", "b"],
      ["b", "c"],
      ["c", "../root/out/canary"],
      ["x", "y"],
      ["y", "x"],
    ] as const)
      symlinkSync(target, ground.at(`root/${name}`));
    expect((await refusalOf(() => ground.files.inspect(bytes("root/a"), { follow: true })))?.code).toBe(
      "forbidden",
    );
    expect(
      (await refusalOf(() => ground.files.inspect(bytes("root/x"), { follow: true })))?.details,
    ).toMatchObject({
      os: "ELOOP",
    });
  });

  test("is told the same of what is there as of what is not", async () => {
    using ground = setup();
    const names = ["canary", "nothing", "canary/x", "nothing/x"];
    const answers = names.map(async (name) => {
      const path = join(ground.at("outside"), name);
      const { code, message, details } = (await refusalOf(() => ground.files.inspect(bytes(path)))) ?? {};
      return [code, message, details].map((part) => JSON.stringify(part).replaceAll(path, "P")).join();
    });
    const sentence = `Cannot look at "P": it is outside of what you may use, which is in "${ground.at("root")}"`;
    const told = ["forbidden", sentence, { path: "P" }].map((part) => JSON.stringify(part)).join();
    expect(await Promise.all(answers)).toEqual(names.map(() => told));
  });

  test("does in its root whatever it could do without one", async () => {
    using ground = setup();
    const { files } = ground;
    symlinkSync("sub", ground.at("root/link"));
    symlinkSync(ground.at("root/sub"), ground.at("root/whole"));
    for (const path of [
      "root/link/deep",
      "root/whole/deep",
      "root/sub/../sub/deep",
      ground.at("root/./sub/deep"),
    ])
      expect((await files.inspect(bytes(path))).size).toBe(6);
    expect(await files.write(bytes("root/link/new"), chunks("new"), replace, never)).toEqual({
      bytes: 3,
      created: true,
    });
    await files.write(bytes("root/link/new"), chunks("er"), { ...replace, manner: "append" }, never);
    expect(ground.get("root/sub/new")).toBe("newer");
    expect(
      await files.makeDirectory(bytes("root/a/b"), { parents: true, mayExist: true, mode: 0o750 }),
    ).toEqual([bytes("root/a"), bytes("root/a/b")]);
    expect((await files.copy(bytes("root/sub"), bytes("root/a"), tree, never)).to).toEqual(
      bytes("root/a/sub"),
    );
    expect((await files.move(bytes("root/a/sub/deep"), bytes("root/a/b"), plain, never)).to).toEqual(
      bytes("root/a/b/deep"),
    );
    expect(await files.touch(bytes("root/touched"))).toBe(true);
    expect(await files.remove(bytes("root/a"), { recursive: true }, never)).toBe(5);
    const names = (await Array.fromAsync(files.list(bytes("root"), never))).map(({ name }) => String(name));
    expect(names).toEqual(["canary", "file", "link", "out", "sub", "touched", "whole"]);
  });

  test("goes out of its root and in again by names alone", async () => {
    using ground = setup();
    expect((await ground.files.inspect(bytes("root/sub/../../root/file"))).size).toBe(6);
    const codes = await codesOf(ground, "root/../nowhere/../root/file");
    expect(codes).toEqual(all(codes, "forbidden"));
  });

  test("copies a tree with links as links, and never what they lead to", async () => {
    using ground = setup();
    await ground.files.copy(bytes("root/sub"), bytes("root/copied"), tree, never);
    await ground.files.copy(bytes("root/out"), bytes("root/copied/out"), tree, never);
    expect(lstatSync(ground.at("root/copied/out")).isSymbolicLink()).toBe(true);
    await ground.files.remove(bytes("root/copied"), { recursive: true }, never);
    expect(ground.get("outside/canary")).toBe("secret");
  });

  test("cannot remove or move what it is confined to, nor what that is in", async () => {
    using ground = setup([["", "root"]]);
    for (const path of ["root", ".", ground.path]) {
      expect(
        (await refusalOf(() => ground.files.remove(bytes(path), { recursive: true }, never)))?.code,
      ).toBe("forbidden");
      expect(
        (await refusalOf(() => ground.files.move(bytes(path), bytes("elsewhere"), plain, never)))?.code,
      ).toBe("forbidden");
    }
    expect(ground.get("root/file")).toBe("inside");
  });

  test("of several lists needs a directory in each", async () => {
    using ground = setup([["root", "outside"], ["root/sub"], [""]]);
    expect((await ground.files.inspect(bytes("root/sub/deep"))).size).toBe(6);
    for (const path of ["root/file", "outside/canary", "root"]) {
      const codes = await codesOf(ground, path);
      expect(codes).toEqual(all(codes, "forbidden"));
    }
    using none = setup([["root"], ["outside"]]);
    expect((await refusalOf(() => none.files.inspect(bytes("root/file"))))?.message).toContain(
      "you may use no files",
    );
  });

  test("without directories touches no files, and is told what to do", async () => {
    for (const roots of [[[]], [["root"], []], [["nowhere"]], [["root/file"]]]) {
      using ground = setup(roots);
      const codes = await codesOf(ground, "root/file");
      expect(codes).toEqual(all(codes, "forbidden"));
      expect((await refusalOf(() => ground.files.open(bytes("root/file"))))?.message).toBe(
        'Cannot read "root/file": it is out of your reach: you may use no files; ask for directories ("roots"), or for the permission "exec"',
      );
    }
  });

  test("has a root that is a link where that leads when it calls", async () => {
    using ground = setup([["alias"]]);
    symlinkSync("root", ground.at("alias"));
    expect((await ground.files.inspect(bytes("alias/file"))).size).toBe(6);
    expect((await ground.files.inspect(bytes("root/file"))).size).toBe(6);
    expect((await refusalOf(() => ground.files.inspect(bytes("alias/../outside/canary"))))?.code).toBe(
      "forbidden",
    );
  });

  test("cannot put a link in the place of a root that is in another", async () => {
    using ground = setup([["", "root/sub"]]);
    symlinkSync("/etc", ground.at("evil"));
    for (const path of ["root/sub", "root"])
      expect((await refusalOf(() => ground.files.move(bytes(path), bytes("away"), plain, never)))?.code).toBe(
        "forbidden",
      );
    await ground.files.copy(bytes("evil"), bytes("root/sub"), tree, never); // into it, not in its place
    expect(lstatSync(ground.at("root/sub")).isDirectory()).toBe(true);
  });

  test("has hard links as the files that they are", async () => {
    using ground = setup();
    linkSync(ground.at("outside/canary"), ground.at("root/hard"));
    expect((await ground.files.inspect(bytes("root/hard"))).size).toBe(6);
  });

  test("is told which directory to go to when the workspace is elsewhere", async () => {
    using ground = setup();
    const refusal = await refusalOf(() => ground.files.inspect(bytes("file")));
    const where = `the workspace's directory "${ground.path}", which is outside of what you may use, which is in "${ground.at("root")}"`;
    expect(refusal?.message).toBe(
      `Cannot look at "file": it counts from ${where}; choose another with farhand cd, or write whole paths`,
    );
  });

  test("sets and keeps no bits that make something run as somebody else", async () => {
    using ground = setup();
    const { files } = ground;
    for (const mode of [0o4755, 0o2755, 0o1777]) {
      expect(
        (await refusalOf(() => files.write(bytes("root/x"), chunks("x"), { ...replace, mode }, never)))?.code,
      ).toBe("forbidden");
      const how = { parents: false, mayExist: false, mode };
      expect((await refusalOf(() => files.makeDirectory(bytes("root/d"), how)))?.code).toBe("forbidden");
    }
    const setId = (name: string) => {
      ground.put(name, "old");
      spawnSync("chmod", ["6755", ground.at(name)]);
    };
    for (const manner of ["replace", "append"] as const) {
      setId(`root/${manner}`);
      await files.write(bytes(`root/${manner}`), chunks("new"), { ...replace, manner }, never);
      expect([manner, ground.mode(`root/${manner}`)]).toEqual([manner, 0o755]);
    }
    setId("root/from");
    await files.copy(bytes("root/from"), bytes("root/to"), tree, never);
    expect(ground.mode("root/to")).toBe(0o755);
    expect(existsSync(ground.at("root/x"))).toBe(false);
  });

  test("opens no FIFO, socket or device", async () => {
    using ground = setup();
    spawnSync("mkfifo", [ground.at("root/fifo")]);
    for (const attempt of [
      () => ground.files.open(bytes("root/fifo")),
      () => ground.files.write(bytes("root/fifo"), chunks("x"), replace, never),
      () => ground.files.write(bytes("root/fifo"), chunks("x"), { ...replace, manner: "append" }, never),
      () => ground.files.copy(bytes("root/fifo"), bytes("root/x"), tree, never),
    ])
      expect((await refusalOf(attempt))?.details?.["os"]).toBe("ENXIO");
  });

  test("is shown the file systems of its directories only", async () => {
    using ground = setup();
    const mounts = await ground.files.listMounts();
    const own = await ground.files.findMount(bytes("root"));
    expect(mounts.map(({ path }) => String(path))).toEqual([String(own.path)]);
  });
});

describe("what is the server's own", () => {
  function open(roots: readonly string[] = [""]): Ground {
    const own = (at: (name: string) => string) => ({
      sealed: [at("srv/state"), at("srv/conf/config.toml")],
      fixed: [at("bin/farhandd")],
    });
    const ground = openGround({ roots: [roots], own });
    ground.put("srv/state/tls/key.pem", "secret");
    ground.put("srv/state/local.json", "token");
    ground.put("srv/conf/config.toml", "config");
    ground.put("srv/other", "free");
    ground.put("bin/farhandd", "program");
    ground.put("root/sub/deep");
    return ground;
  }

  test("is out of reach in a root too, by path, link, hard link and mount", async () => {
    using ground = open();
    symlinkSync("state", ground.at("srv/alias"));
    linkSync(ground.at("srv/state/local.json"), ground.at("srv/hard"));
    for (const path of [
      "srv/state",
      "srv/state/local.json",
      "srv/state/tls/key.pem",
      "srv/state/nothing",
      "srv/alias/local.json",
      "srv/hard",
      "srv/conf/config.toml",
    ]) {
      const codes = await codesOf(ground, path, ["copyTo", "parents", "mkdir", "create"]);
      expect([path, codes]).toEqual([path, all(codes, "forbidden")]);
    }
    expect(ground.get("srv/state/local.json")).toBe("token");
    expect(ground.get("srv/conf/config.toml")).toBe("config");
  });

  test("is out of reach for a root that is in it", async () => {
    for (const root of ["srv/state", "srv/state/tls"]) {
      using ground = open([root]);
      expect((await refusalOf(() => ground.files.open(bytes("srv/state/tls/key.pem"))))?.code).toBe(
        "forbidden",
      );
    }
  });

  test("is left out where a tree is copied, and keeps a tree from being removed or moved", async () => {
    using ground = open();
    const copied = await refusalOf(() => ground.files.copy(bytes("srv"), bytes("copy"), tree, never));
    expect(copied?.code).toBe("forbidden");
    expect([ground.names("copy"), ground.names("copy/conf")]).toEqual([["conf", "other"], []]);
    for (const path of ["srv", "srv/conf", "bin"]) {
      expect(
        (await refusalOf(() => ground.files.remove(bytes(path), { recursive: true }, never)))?.code,
      ).toBe("forbidden");
      expect((await refusalOf(() => ground.files.move(bytes(path), bytes("away"), plain, never)))?.code).toBe(
        "forbidden",
      );
    }
    expect(ground.get("srv/other")).toBe("free");
  });

  test("is read where it is a program, and never changed", async () => {
    using ground = open();
    expect((await ground.files.inspect(bytes("bin/farhandd"))).size).toBe(7);
    const reading = [
      "inspect",
      "follow",
      "list",
      "open",
      "mount",
      "copyFrom",
      "copyTo",
      "mkdir",
      "parents",
      "create",
    ];
    const codes = await codesOf(ground, "bin/farhandd", reading);
    expect(codes).toEqual(all(codes, "forbidden"));
    expect(
      (await refusalOf(() => ground.files.copy(bytes("srv/other"), bytes("bin/farhandd"), tree, never)))
        ?.code,
    ).toBe("forbidden");
    expect(ground.get("bin/farhandd")).toBe("program");
  });

  testIf(fault === undefined, fault ?? "")(
    "is out of reach where it is mounted again, whole or in part",
    async () => {
      using ground = open();
      for (const [from, to] of [
        ["srv/state", "m1"],
        ["srv", "m2"],
        ["srv/state/tls", "m3"],
      ] as const) {
        mkdirSync(ground.at(to));
        spawnSync("mount", ["--bind", ground.at(from), ground.at(to)]);
      }
      try {
        for (const path of ["m1/local.json", "m2/state/local.json", "m3/key.pem"])
          expect([path, (await refusalOf(() => ground.files.open(bytes(path))))?.code]).toEqual([
            path,
            "forbidden",
          ]);
        expect((await ground.files.inspect(bytes("m2/other"))).size).toBe(4);
      } finally {
        for (const to of ["m1", "m2", "m3"]) spawnSync("umount", [ground.at(to)]);
      }
    },
  );

  test("is no more than the system's own, which only a root of its own opens", async () => {
    if (process.platform !== "linux") return;
    using ground = openGround({ roots: [["/"]] });
    for (const path of [
      "/proc/version",
      "/proc/self/environ",
      "/sys/kernel",
      "/dev/null",
      "/dev/shm",
      `/proc/${process.pid}/environ`,
    ])
      expect([path, (await refusalOf(() => ground.files.inspect(bytes(path))))?.code]).toEqual([
        path,
        "forbidden",
      ]);
    expect((await ground.files.inspect(bytes("/etc/passwd"))).type).toBe("file");
    using named = openGround({ roots: [["/", "/proc/sys"]] });
    expect((await named.files.inspect(bytes("/proc/sys/kernel"))).type).toBe("directory");
    using proc = openGround({ roots: [["/proc"]] });
    expect((await proc.files.inspect(bytes("/proc/version"))).type).toBe("file");
    for (const path of [
      "/proc/self/environ",
      `/proc/${process.pid}/environ`,
      "/proc/1/root/etc/passwd",
      "/proc/thread-self/environ",
    ])
      expect([path, (await refusalOf(() => proc.files.open(bytes(path))))?.code]).toEqual([
        path,
        "forbidden",
      ]);
  });
});

describe("check()", () => {
  test("answers where a directory really is, and refuses what is outside or is none", async () => {
    using ground = setup();
    symlinkSync("sub", ground.at("root/link"));
    const check = (path: string) => ground.confinement()?.check(bytes(ground.at(path)));
    expect(String(await check("root/link"))).toBe(ground.at("root/sub"));
    expect(String(await check("root/sub/.."))).toBe(ground.at("root"));
    for (const path of ["outside", "root/out", "root/..", "nowhere"])
      await expect(check(path)).rejects.toThrow("outside of what");
    await expect(check("root/file")).rejects.toMatchObject({ code: "ENOTDIR" });
    await expect(check("root/nothing")).rejects.toMatchObject({ code: "ENOENT" });
  });
});

test("no path whatever leads out of a root", async () => {
  using ground = setup();
  symlinkSync(".", ground.at("root/self"));
  symlinkSync("..", ground.at("root/sub/up"));
  symlinkSync("../..", ground.at("root/sub/above"));
  symlinkSync("/", ground.at("root/all"));
  const step = fc.constantFrom(
    "..",
    ".",
    "",
    "root",
    "sub",
    "deep",
    "file",
    "out",
    "canary",
    "self",
    "up",
    "above",
    "all",
    "outside",
    "nothing",
    "proc",
    "etc",
  );
  const secret = String(statSync(ground.at("outside/canary")).ino);
  const path = fc.tuple(
    fc.constantFrom("", "/", `${ground.path}/`),
    fc.array(step, { minLength: 1, maxLength: 8 }),
  );
  await fc.assert(
    fc.asyncProperty(path, async ([start, steps]) => {
      const written = start + steps.join("/") || ".";
      const status = await ground.files.inspect(bytes(written), { follow: true }).catch((error: unknown) => {
        if (error instanceof AppError) return undefined;
        throw error;
      });
      if (status === undefined) return;
      expect(status.inode).not.toBe(secret);
      const real = join(ground.path, written);
      const inside = [
        ground.at("root"),
        ground.at("root/sub"),
        ground.at("root/file"),
        ground.at("root/sub/deep"),
      ];
      expect([real, inside.map((path) => String(statSync(path).ino)).includes(status.inode)]).toEqual([
        real,
        true,
      ]);
    }),
    { numRuns: 500 },
  );
});

testIf(process.platform === "linux", "two paths change places at once on Linux alone")(
  "a link that takes the place of a directory or a file while somebody looks leads nowhere",
  async () => {
    using ground = setup();
    const { files } = ground;
    ground.put("root/swap/canary", "own");
    ground.put("root/plain", "own");
    symlinkSync("../outside", ground.at("root/evil"));
    symlinkSync("../outside/canary", ground.at("root/worse"));
    for (const name of ["root/in/x", "outside/away/x"]) ground.put(name);
    for (const [name, content] of [
      ["root/mark", "own"],
      ["outside/mark", "secret"],
    ] as const)
      ground.put(name, content);
    const exchanges = [
      openExchange(ground.at("root/swap"), ground.at("root/evil")),
      openExchange(ground.at("root/plain"), ground.at("root/worse")),
      openExchange(ground.at("root/in"), ground.at("outside/away")),
    ];
    const swapping = new AbortController();
    const swapped = (async () => {
      for (; !swapping.signal.aborted; await turn()) for (const exchange of exchanges) exchange();
    })();
    const seen = new Map<string, number>();
    for (let number = 0; number < 100; number++) {
      const path = (name: string) => bytes(`root/swap/${name}`);
      const how = { ...replace, manner: "append" } as const;
      const done = await Promise.allSettled([
        readText(files, path("canary")),
        readText(files, bytes("root/plain")),
        readText(files, bytes("root/in/../mark")),
        readText(files, bytes("root/in/../in/../mark")),
        files.inspect(path("canary"), { follow: true }).then(({ size }) => String(size)),
        files.inspect(bytes("root/plain"), { follow: true }).then(({ size }) => String(size)),
        files.write(bytes("root/plain"), chunks(""), how, never).then(() => "appended"),
        files.write(path(`w${number}`), chunks("x"), replace, never).then(() => "written"),
        files.remove(path(`w${number - 1}`), { recursive: true }, never).then(() => "removed"),
        files
          .makeDirectory(path("d/e"), { parents: true, mayExist: true, mode: undefined })
          .then(() => "made"),
        files.copy(path("canary"), bytes("root/copy"), tree, never).then(() => "copied"),
        files.move(path("d"), bytes(`root/d${number}`), plain, never).then(() => "moved"),
      ]);
      for (const one of done) {
        const told = one.status === "fulfilled" ? one.value : String(one.reason.code);
        seen.set(told, (seen.get(told) ?? 0) + 1);
      }
    }
    swapping.abort();
    await swapped;
    expect(ground.names("outside")).toEqual(["away", "canary", "mark"]);
    expect(ground.get("outside/canary")).toBe("secret");
    // It was met in both states, or nothing was proved.
    for (const told of ["own", "3", "written", "copied", "forbidden"])
      expect([told, seen.get(told)]).toEqual([told, expect.any(Number)]);
    const known = [
      "own",
      "3",
      "appended",
      "written",
      "removed",
      "made",
      "copied",
      "moved",
      "forbidden",
      "os_error",
    ];
    expect([...seen.keys()].filter((told) => !known.includes(told))).toEqual([]);
  },
);

async function readText(files: FileAccess, path: Uint8Array): Promise<string> {
  await using file = await files.open(path);
  return Buffer.from(await file.read(0, 100)).toString();
}
