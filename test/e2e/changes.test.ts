import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fillDisk, findMountFault, mountOn } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, type RunOptions } from "../support/world.ts";

setDefaultTimeout(60_000);

const fault = findMountFault();

async function setup() {
  const world = openWorld();
  await world.start();
  const at = (name: string) => join(world.home, name);
  const say = async (args: readonly string[], options?: RunOptions) => {
    const { code, stdout, stderr } = await world.farhand(args, options);
    return code === 0 ? stdout : `${code}: ${stderr}`;
  };
  return {
    ...world,
    at,
    /** What it says: on stdout, or its exit code and stderr. */
    say,
    get: (name: string) => readFileSync(at(name), "utf8"),
    names: (name = ".") => readdirSync(at(name)).sort(),
  };
}

describe("each verb that changes files", () => {
  test("says what it did, and fails with a sentence, the system's code and the path", async () => {
    await using world = await setup();
    const { say } = world;
    expect(await say(["mkdir", "dir"])).toBe("Created directory: dir\n");
    expect(await say(["mkdir", "dir"])).toBe(
      '125: farhand: Cannot make directory "dir": it exists already (EEXIST)\n',
    );
    expect(await say(["mkdir", "-p", "-m", "0711", "dir/a/b"])).toBe(
      "Created directory: dir/a\nCreated directory: dir/a/b\n",
    );
    expect(await say(["mkdir", "-p", "dir"])).toBe("Exists already: dir\n");
    expect(await say(["mkdirs", "new/er"])).toBe("Created directory: new\nCreated directory: new/er\n");
    expect(await say(["mkdirs", "new/er"])).toContain("(EEXIST)");
    expect(await say(["mkdirs", "--exist-ok", "new/er"])).toBe("Exists already: new/er\n");
    expect(await say(["touch", "dir/file"])).toBe("Touched dir/file (new)\n");
    expect(await say(["touch", "dir"])).toBe(
      '125: farhand: Cannot touch "dir": it is a directory (EISDIR)\n',
    );
    expect(await say(["wrfile", "dir/file", "text"])).toBe("Wrote 4 bytes to dir/file\n");
    expect(await say(["wrfile", "dir", "text"])).toBe(
      '125: farhand: Cannot write "dir": it is a directory (EISDIR)\n',
    );
    expect(await say(["cp", "dir/file", "copy"])).toBe("Copied dir/file to copy: 1 file (4 B)\n");
    expect(await say(["cp", "-r", "dir", "new"])).toBe(
      "Copied dir to new/dir: 1 file (4 B), 3 directories\n",
    );
    expect(await say(["cp", "none", "new"])).toBe(
      '125: farhand: Cannot copy "none": no such file or directory (ENOENT)\n',
    );
    expect(await say(["mv", "copy", "dir"])).toBe("Moved copy to dir/copy\n");
    expect(await say(["mv", "dir", "dir/a"])).toBe(
      '125: farhand: Cannot move "dir" to "dir/a/dir": it would be in itself (EINVAL)\n',
    );
    expect(await say(["rm", "dir"])).toContain(
      "the directory is not empty (ENOTEMPTY); --recursive removes it",
    );
    expect(await say(["rm", "-r", "dir"])).toBe("Removed dir with 4 entries in it\n");
    expect(await say(["rm", "dir"])).toBe(
      '125: farhand: Cannot remove "dir": no such file or directory (ENOENT)\n',
    );
    expect(await say(["rm", "-rf", "dir"])).toBe("");
    expect(await say(["rm", "-r", "."])).toBe(
      '125: farhand: Cannot remove ".": it is the workspace\'s own directory (EBUSY)\n',
    );
    expect(await say(["rm", "-rf", "/"])).toContain("(EBUSY)");
    expect(world.names()).toEqual(["new"]);
  });

  test("with --json gives an object for each path, and an error with code and path", async () => {
    await using world = await setup();
    const { stdout } = await world.farhand(["mkdir", "--json", "a", "b"]);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { name: "a", created: true },
      { name: "b", created: true },
    ]);
    const failed = await world.farhand(["rm", "--json", "none"]);
    expect([failed.code, JSON.parse(failed.stdout)]).toEqual([
      125,
      {
        type: "error",
        code: "os_error",
        message: 'Cannot remove "none": no such file or directory (ENOENT)',
        details: { os: "ENOENT", path: "none" },
      },
    ]);
  });

  test("of several paths does those that it can, and says which it could not", async () => {
    await using world = await setup();
    writeFileSync(world.at("a"), "");
    writeFileSync(world.at("d"), "");
    const { code, stdout, stderr } = await world.farhand(["rm", "a", "b", "c", "d"]);
    expect([code, stdout]).toEqual([125, "Removed a\nRemoved d\n"]);
    expect(stderr).toBe(
      'farhand: Cannot remove 2 of 4 paths: Cannot remove "b": no such file or directory (ENOENT); Cannot remove "c": no such file or directory (ENOENT)\n',
    );
  });

  test("takes names by their bytes, and shows them harmless", async () => {
    await using world = await setup();
    const odd = Buffer.from([0x2d, 0xff, 0x0a, 0x1b]);
    const option = ["--path-bytes", odd.toString("base64")];
    const shown = "-\\xff\\n\\x1b";
    expect(await world.say(["wrfile", ...option, "text"])).toBe(`Wrote 4 bytes to ${shown}\n`);
    const found = readdirSync(world.home, { encoding: "buffer" });
    expect(found).toEqual([odd]);
    expect(await world.say(["cp", ...option, "plain"])).toContain(`Copied ${shown} to plain`);
    expect(await world.say(["mv", "--", "plain", "-dash"])).toBe("Moved plain to -dash\n");
    expect(await world.say(["mv", ...option, "named"])).toBe(`Moved ${shown} to named\n`);
    const { stdout } = await world.farhand(["mkdir", "--json", ...option]);
    expect(JSON.parse(stdout)).toMatchObject({ nameBytes: odd.toString("base64"), created: true });
    expect(await world.say(["rm", ...option])).toBe(`Removed ${shown}\n`);
    expect(await world.say(["rm", "--", "-dash"])).toBe("Removed -dash\n");
    expect(world.names()).toEqual(["named"]);
  });

  test("makes files as the umask of the user has it, not the server's own", async () => {
    await using world = openWorld();
    await world.shell("umask 027; farhandd start --listen 127.0.0.1:0");
    await world.shell(
      "farhand touch a; farhand mkdir b; echo x | farhand wrfile c; farhand wrfile -a d x; farhand cp c e; farhand mkdir -p f/g",
    );
    const modes = ["a", "b", "c", "d", "e", "f", "f/g"].map((name) =>
      (statSync(join(world.home, name)).mode & 0o777).toString(8),
    );
    expect(modes).toEqual(["640", "750", "640", "640", "640", "750", "750"]);
  });
});

describe("farhand wrfile", () => {
  test("writes the text, stdin, or a file here, byte for byte", async () => {
    await using world = await setup();
    const noise = crypto.getRandomValues(new Uint8Array(65_000));
    const large = Buffer.concat(Array.from({ length: 100 }, () => noise));
    writeFileSync(world.at("local"), large);
    expect(await world.say(["wrfile", "one"], { stdin: large })).toBe(`Wrote ${large.length} bytes to one\n`);
    expect(await world.say(["wrfile", "two", "--file", world.at("local")])).toBe(
      `Wrote ${large.length} bytes to two\n`,
    );
    expect(await world.say(["wrfile", "three", ""])).toBe("Wrote 0 bytes to three\n");
    expect(await world.say(["wrfile", "four"], { stdin: "" })).toBe("Wrote 0 bytes to four\n");
    for (const name of ["one", "two"]) expect(readFileSync(world.at(name)).equals(large)).toBe(true);
    expect([world.get("three"), world.get("four")]).toEqual(["", ""]);
  });

  test("reads from here what is no plain file too, and says what cannot be read", async () => {
    await using world = await setup();
    expect(await world.say(["wrfile", "empty", "--file", "/dev/null"])).toBe("Wrote 0 bytes to empty\n");
    expect((await world.shell("farhand wrfile piped --file <(echo from a pipe)")).code).toBe(0);
    expect([world.get("empty"), world.get("piped")]).toEqual(["", "from a pipe\n"]);
    expect(await world.say(["wrfile", "piped", "--file", "none"])).toBe(
      '125: farhand: Cannot read "none": no such file or directory (ENOENT)\n',
    );
    expect(await world.say(["wrfile", "piped", "--file", "."])).toContain('Cannot read ".": ');
    expect(await world.say(["console", "--file", "none"])).toContain("no such file or directory (ENOENT)");
    expect(world.get("piped")).toBe("from a pipe\n");
  });

  test("appends, makes only what is new, and sets a mode", async () => {
    await using world = await setup();
    await world.say(["wrfile", "-m", "0600", "log", "a"]);
    await world.say(["wrfile", "-a", "log"], { stdin: "b" });
    expect([world.get("log"), statSync(world.at("log")).mode & 0o777]).toEqual(["ab", 0o600]);
    expect(await world.say(["wrfile", "-x", "log", "c"])).toContain("it exists already (EEXIST)");
    expect(await world.say(["wrfile", "-x", "new", "c"])).toBe("Wrote 1 byte to new\n");
    expect(await world.say(["wrfile", "-x", "-a", "log", "c"])).toStartWith("125: ");
    expect(await world.say(["wrfile", "log", "x", "--file", "y"])).toStartWith("125: ");
    expect(world.get("log")).toBe("ab");
  });

  test("that is interrupted leaves what was there, and nothing beside it", async () => {
    await using world = await setup();
    mkdirSync(world.at("dir"));
    writeFileSync(world.at("dir/file"), "old");
    const writing = world.open([
      "bash",
      "-c",
      "exec farhand wrfile dir/file < <(echo half; exec sleep 1000 2>/dev/null)",
    ]);
    await eventually(() => world.names("dir").length === 2, 30_000);
    writing.kill("SIGINT");
    expect((await writing.ran).code).not.toBe(0);
    await eventually(() => world.names("dir").length === 1, 30_000);
    expect(world.get("dir/file")).toBe("old");
  });

  test("whose server is killed leaves what was there; the next writing clears away the rest", async () => {
    await using world = await setup();
    mkdirSync(world.at("dir"));
    writeFileSync(world.at("dir/file"), "old");
    const writing = world.open([
      "bash",
      "-c",
      "exec farhand wrfile dir/file --reconnect-timeout 1s < <(echo half; exec sleep 1000 2>/dev/null)",
    ]);
    await eventually(() => world.names("dir").length === 2, 30_000);
    process.kill((await world.status()).pid, "SIGKILL");
    expect((await writing.ran).code).not.toBe(0);
    await world.start();
    expect([world.get("dir/file"), world.names("dir").length]).toEqual(["old", 2]);
    expect(await world.say(["wrfile", "dir/other", "x"])).toBe("Wrote 1 byte to dir/other\n");
    expect(world.names("dir")).toEqual(["file", "other"]);
  });

  test("of two at once leaves one of them whole", async () => {
    await using world = await setup();
    const contents = ["a".repeat(300_000), "b".repeat(300_000)];
    for (let round = 0; round < 5; round++) {
      await Promise.all(contents.map((stdin) => world.say(["wrfile", "file"], { stdin })));
      expect(contents).toContain(world.get("file"));
    }
    expect(world.names()).toEqual(["file"]);
  });

  testIf(fault === undefined, fault ?? "")("on a full disk says so, and leaves what was there", async () => {
    await using world = await setup();
    mkdirSync(world.at("small"));
    using _mount = mountOn(world.at("small"), 256 * 1024);
    writeFileSync(world.at("small/file"), "old");
    {
      using _full = fillDisk(world.at("small"));
      const stdin = "x".repeat(100_000);
      expect(await world.say(["wrfile", "small/file"], { stdin })).toBe(
        '125: farhand: Cannot write "small/file": no space left on the device (ENOSPC)\n',
      );
      expect(world.names("small")).toEqual(["file", "filler"]);
    }
    expect(await world.say(["wrfile", "small/file", "new"])).toBe("Wrote 3 bytes to small/file\n");
  });
});

describe("farhand rm -r of very many files", () => {
  async function setupMany() {
    const world = await setup();
    await world.shell("mkdir many; cd many; seq 30000 | xargs touch; touch -d @1 .");
    const removing = world.open(["farhand", "rm", "-r", "many"]);
    await eventually(() => statSync(world.at("many")).mtimeMs > 1_000, 30_000);
    return { ...world, removing };
  }

  test("delays no other call", async () => {
    await using world = await setupMany();
    const first = await Promise.race([
      world.say(["touch", "other"]),
      world.removing.ran.then(({ stdout }) => stdout),
    ]);
    expect(first).toBe("Touched other (new)\n");
    expect((await world.removing.ran).stdout).toBe("Removed many with 30000 entries in it\n");
  }, 120_000);

  test("stops when it is interrupted", async () => {
    await using world = await setupMany();
    world.removing.kill("SIGINT");
    expect((await world.removing.ran).code).toBe(130);
    await world.say(["touch", "other"]); // answered after what was under way
    const left = world.names("many").length;
    expect(left).toBeGreaterThan(0);
    await world.say(["touch", "other"]);
    expect(world.names("many").length).toBe(left);
  }, 120_000);
});
