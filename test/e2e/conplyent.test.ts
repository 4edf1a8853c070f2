import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { openConnected } from "../support/connected.ts";
import { eventually } from "../support/eventually.ts";
import { isRunning, openWorld, type RunOptions } from "../support/world.ts";

setDefaultTimeout(60_000);

/** A world with a server, whose PATH begins with `stubs` below its home. */
async function setup() {
  const world = openWorld();
  const at = (name: string) => join(world.home, name);
  const script = (name: string, text: string) => {
    mkdirSync(dirname(at(name)), { recursive: true });
    writeFileSync(at(name), `#!/bin/sh\n${text}\n`);
    chmodSync(at(name), 0o755);
  };
  for (const name of ["systemctl", "shutdown", "reboot", "poweroff"])
    script(`stubs/${name}`, 'printf "%s\\n" "$0" "$@" >> "$HOME/told"');
  const env = { PATH: `${at("stubs")}:${world.env["PATH"]}` };
  expect((await world.farhandd(["start", "--listen", "127.0.0.1:0"], { env })).code).toBe(0);
  /** What it says: on stdout, or its exit code and stderr. */
  const say = async (args: readonly string[], options?: RunOptions) => {
    const { code, stdout, stderr } = await world.farhand(args, options);
    return code === 0 ? stdout : `${code}: ${stdout}${stderr}`;
  };
  const json = async (...args: string[]) => {
    const { stdout } = await world.farhand(["--json", ...args]);
    return stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  };
  const get = (name: string) => readFileSync(at(name), "utf8");
  return { ...world, at, script, say, json, get };
}

describe("of the commands that conplyent's server has,", () => {
  test("cd tells the new directory, and refuses one that is missing, or no directory", async () => {
    await using world = await setup();
    mkdirSync(world.at("dir"));
    writeFileSync(world.at("file"), "");
    expect(await world.say(["cd", "dir"])).toBe(`${world.at("dir")}\n`);
    expect(await world.say(["cd", "nope"])).toStartWith('125: farhand: Cannot change to "nope": ');
    expect(await world.json("cd", "../file")).toMatchObject([
      { code: "os_error", details: { os: "ENOTDIR" } },
    ]);
    expect(await world.say(["cwd"])).toBe(`${world.at("dir")}\n`);
  });

  test("ls names each entry with its type, hidden ones when asked, and refuses what is missing", async () => {
    await using world = await setup();
    expect((await world.shell("mkdir -p d/sub; touch d/f d/.hidden; ln -s f d/l")).code).toBe(0);
    expect(await world.json("ls", "d")).toEqual([
      { name: "f", type: "file" },
      { name: "l", type: "link" },
      { name: "sub", type: "directory" },
    ]);
    expect(await world.say(["ls", "-a", "d"])).toBe(".hidden\nf\nl\nsub\n");
    expect(await world.json("ls", "nope")).toMatchObject([{ details: { os: "ENOENT", path: "nope" } }]);
  });

  test("cwd tells where it is, for every client", async () => {
    await using world = await setup();
    expect(await world.say(["cwd"])).toBe(`${world.home}\n`);
    expect(await world.say(["exec", "--", "pwd"])).toBe(`${world.home}\n`);
  });

  test("mkdir makes a directory with a mode, and refuses whatever exists there", async () => {
    await using world = await setup();
    expect(await world.say(["mkdir", "-m", "0750", "dir"])).toBe("Created directory: dir\n");
    expect((await world.json("stat", "dir"))[0].files[0].mode).toBe("0750");
    writeFileSync(world.at("file"), "");
    for (const name of ["dir", "file"])
      expect(await world.json("mkdir", name)).toMatchObject([{ details: { os: "EEXIST", path: name } }]);
  });

  test("mkdirs makes all that it is in, and minds what is there unless told otherwise", async () => {
    await using world = await setup();
    expect(await world.say(["mkdirs", "a/b"])).toBe("Created directory: a\nCreated directory: a/b\n");
    expect(await world.json("mkdirs", "a/b")).toMatchObject([{ details: { os: "EEXIST", path: "a/b" } }]);
    expect(await world.say(["mkdirs", "--exist-ok", "a/b"])).toBe("Exists already: a/b\n");
  });

  test("rm tells what was removed, and refuses what is missing, and what is not empty unless told", async () => {
    await using world = await setup();
    expect((await world.shell("mkdir -p dir/sub; touch file")).code).toBe(0);
    expect(await world.say(["rm", "file"])).toBe("Removed file\n");
    expect(await world.json("rm", "file")).toMatchObject([{ details: { os: "ENOENT", path: "file" } }]);
    expect(await world.json("rm", "dir")).toMatchObject([{ details: { os: "ENOTEMPTY", path: "dir" } }]);
    expect(await world.say(["rm", "-r", "dir"])).toBe("Removed dir with 1 entry in it\n");
    expect(existsSync(world.at("dir"))).toBe(false);
  });

  test("rdfile gives the bytes, so many if told, and refuses what is missing, or a directory", async () => {
    await using world = await setup();
    writeFileSync(world.at("file"), new Uint8Array([0, 255, 10, 13, 65, 66]));
    expect((await world.shell("farhand rdfile file | cmp - file")).code).toBe(0);
    expect(await world.say(["rdfile", "--offset", "4", "--limit", "1", "file"])).toBe("A");
    expect(await world.json("rdfile", "nope")).toMatchObject([{ details: { os: "ENOENT", path: "nope" } }]);
    expect(await world.json("rdfile", ".")).toMatchObject([{ details: { os: "EISDIR", path: "." } }]);
  });

  test("wrfile writes and appends bytes, and refuses a directory, and a place that is none", async () => {
    await using world = await setup();
    expect(await world.say(["wrfile", "file"], { stdin: "one\0" })).toBe("Wrote 4 bytes to file\n");
    expect(await world.say(["wrfile", "--append", "file", "two"])).toBe("Wrote 3 bytes to file\n");
    expect(world.get("file")).toBe("one\0two");
    expect(await world.json("wrfile", ".", "x")).toMatchObject([{ details: { os: "EISDIR", path: "." } }]);
    expect(await world.json("wrfile", "no/file", "x")).toMatchObject([{ details: { os: "ENOENT" } }]);
  });

  test("touch makes a file, leaves the bytes of one, and says of a directory that touch failed", async () => {
    await using world = await setup();
    expect(await world.say(["touch", "file"])).toBe("Touched file (new)\n");
    writeFileSync(world.at("file"), "kept");
    expect(await world.say(["touch", "file"])).toBe("Touched file\n");
    expect(world.get("file")).toBe("kept");
    expect(await world.say(["touch", "."])).toBe(
      '125: farhand: Cannot touch ".": it is a directory (EISDIR)\n',
    );
  });

  test("jobs tells those that run, their ends, and that there are none", async () => {
    await using world = await setup();
    expect((await world.json("jobs"))[0].jobs).toEqual([]);
    const job = await world.detach("--open-stdin", "--", "cat");
    expect((await world.json("jobs"))[0].jobs).toMatchObject([{ id: job, state: "running" }]);
    await world.farhand(["kill", job]);
    expect((await world.json("jobs"))[0].jobs).toMatchObject([{ id: job, outcome: { type: "cancelled" } }]);
    expect(await world.say(["jobs", "99"])).toStartWith('125: farhand: Cannot find job "99"');
  });

  test("exec gives each line and the program's own code, told from our own failure", async () => {
    await using world = await setup();
    expect(await world.say(["exec", "--shell", "echo out; echo err >&2; exit 1"])).toBe("1: out\nerr\n");
    expect(await world.say(["exec", "--merge", "--shell", "echo a >&2; echo b"])).toBe("a\nb\n");
    expect((await world.json("exec", "--", "false")).at(-1)).toMatchObject({ outcome: { code: 1 } });
    expect(await world.say(["exec", "--", "no-such-program"])).toStartWith("127: ");
  });

  test("send_input, is_alive and kill reach a job, and refuse one that is unknown or has ended", async () => {
    await using world = await setup();
    const job = await world.detach("--open-stdin", "--", "head", "-n", "1");
    expect(await world.say(["is_alive", job])).toBe("true\n");
    expect(await world.say(["send_input", job, "value", "--newline"])).toContain("has got 6 bytes");
    expect(await world.say(["follow", job])).toBe("value\n");
    expect(await world.say(["is_alive", job])).toBe("1: false\n");
    for (const [verb, ...rest] of [["send_input", "x"], ["kill"]] as const)
      expect([
        (await world.json(verb, "99", ...rest))[0].code,
        (await world.json(verb, job, ...rest))[0].code,
      ]).toEqual(["not_found", "not_running"]);
    expect((await world.json("is_alive", "99"))[0].code).toBe("not_found");
    const other = await world.detach("--open-stdin", "--", "cat");
    expect(await world.json("kill", other)).toMatchObject([{ outcome: { type: "cancelled" } }]);
  });

  test("close_server ends the jobs if told, answers, and stops the server", async () => {
    await using world = await setup();
    const [job, { pid }] = [await world.detach("--open-stdin", "--", "cat"), await world.status()];
    expect((await world.json("close_server", "--jobs"))[0]).toMatchObject({ ended: 1, left: [] });
    await eventually(() => !isRunning(pid), 30_000);
    expect(await world.say(["ping"])).toStartWith("125: ");
    await world.start();
    expect((await world.job(job)).outcome?.type).toBe("cancelled");
  });

  test("os_info and user_name tell the system in one word, and the user without a terminal", async () => {
    await using world = await setup();
    expect((await world.json("os_info"))[0].system).toBe(process.platform === "darwin" ? "mac" : "linux");
    expect(await world.say(["user_name"])).toBe((await world.shell("id -un")).stdout);
  });

  test.each(["reboot", "shutdown"])(
    "%s runs the system's program and is answered, and only with a yes",
    async (verb) => {
      await using world = await setup();
      const [{ argv, done }] = await world.json(verb, "--dry-run");
      expect([argv[0].startsWith(world.at("stubs")), done]).toEqual([true, false]); // or we do not go on
      if (!String(argv[0]).startsWith(world.at("stubs/"))) throw new Error(`It would run ${argv}`);
      expect((await world.json(verb))[0].code).toBe("invalid_input");
      expect(existsSync(world.at("told"))).toBe(false);
      expect(await world.json(verb, "--yes")).toEqual([{ argv, done: true }]);
      expect(world.get("told").trimEnd().split("\n")).toEqual(argv);
    },
  );

  test("sleep is there where the machine can, and commands tells whether it is", async () => {
    await using world = await setup();
    const offered = (await world.json("commands"))[0].some(({ name }: { name: string }) => name === "sleep");
    const [answer] = await world.json("sleep", "--dry-run");
    expect(offered ? answer.done : answer.code).toBe(offered ? false : "unknown_command");
  });
});

describe("of the bugs that conplyent has,", () => {
  test("1: a burst is complete however slowly it is read, and its end is told", async () => {
    await using world = await setup();
    const line = "farhand exec -- seq 1 200000 | (sleep 0.5; cat) | cmp - <(seq 1 200000)";
    expect(await world.shell(line)).toMatchObject({ code: 0, stderr: "" });
  });

  test("2: a client that is killed forgets no job, output or exit code", async () => {
    await using world = await setup();
    const line = "echo early; while [ ! -e go ]; do sleep 0.02; done; echo late; exit 6";
    const client = world.open(["farhand", "exec", "--shell", line]);
    await eventually(() => client.said() === "early\n", 30_000);
    client.kill("SIGKILL");
    await client.ran;
    expect((await world.json("jobs"))[0].jobs).toMatchObject([{ number: 1, state: "running" }]);
    writeFileSync(world.at("go"), "");
    expect(await world.farhand(["follow", "1"])).toMatchObject({ code: 6, stdout: "early\nlate\n" });
  });

  test("3: a second client is served beside the first, at once", async () => {
    await using world = await setup();
    const first = world.open(["farhand", "exec", "--shell", "echo here; exec cat"]);
    await eventually(() => first.said() === "here\n", 30_000);
    expect(await Promise.all([1, 2, 3].map(() => world.say(["cwd"])))).toEqual(
      Array(3).fill(`${world.home}\n`),
    );
  });

  test("4: kill ends a program that ignores TERM, and its children", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "trap '' TERM; sleep 3631 & sleep 3632 & echo up; wait; wait");
    const left = () => world.processes(/^sleep 363/);
    await eventually(() => left().length === 2, 30_000);
    expect((await world.farhand(["kill", "--grace", "100ms", job])).code).toBe(0);
    expect([left(), (await world.job(job)).outcome?.type]).toEqual([[], "cancelled"]);
  });

  test("5: send_input adds no newline, nor a second one", async () => {
    await using world = await setup();
    const job = await world.detach("--open-stdin", "--", "cat");
    for (const text of ["none", "one\n", "two\n\n"]) await world.farhand(["send-input", job, text]);
    await world.farhand(["send-input", job, "", "--eof"]);
    expect(await world.say(["follow", job])).toBe("noneone\ntwo\n\n");
  });

  test("6: ls of another directory knows its directories for what they are", async () => {
    await using world = await setup();
    writeFileSync(world.at("bin"), ""); // of the same name, and a file
    const found: { name: string; type: string }[] = await world.json("ls", "/usr");
    const wanted = readdirSync("/usr", { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(found.flatMap(({ name, type }) => (type === "directory" ? [name] : [])).sort()).toEqual(
      wanted.map(({ name }) => name).sort(),
    );
  });

  test("7: an empty file comes to be, of no bytes and of an empty text", async () => {
    await using world = await setup();
    expect(await world.say(["wrfile", "one"], { stdin: "" })).toBe("Wrote 0 bytes to one\n");
    expect(await world.say(["wrfile", "two", ""])).toBe("Wrote 0 bytes to two\n");
    expect([world.get("one"), world.get("two")]).toEqual(["", ""]);
  });

  test("8: no path that it makes has a placeholder in it", async () => {
    await using world = await setup();
    expect((await world.farhand(["console"], { stdin: "cwd\n" })).code).toBe(0);
    expect((await world.farhand(["exec", "--", "true"])).code).toBe(0);
    const made = readdirSync(dirname(world.home), { recursive: true, encoding: "utf8" });
    expect(made.length).toBeGreaterThan(5);
    expect(made.filter((path) => /[{}$%~]/.test(path))).toEqual([]);
  });

  test("9: a reader of bytes that are no text sees the end", async () => {
    await using world = await setup();
    expect((await world.shell("head -c 300000 /dev/urandom > data")).code).toBe(0);
    expect((await world.shell("farhand exec -- cat < data | cmp - data")).code).toBe(0);
    expect((await world.shell("farhand rdfile data | cmp - data")).code).toBe(0);
  });

  test("10: nothing is dropped that comes while the first calls are answered", async () => {
    await using stage = await openConnected();
    const flood = stage.web1.exec("seq 1 100000");
    const calls = Array.from({ length: 50 }, () => stage.web1.cwd());
    const wanted = Array.from({ length: 100_000 }, (_, at) => `${at + 1}\n`).join("");
    expect((await Promise.all(calls)).map(({ result }) => result?.cwd)).toEqual(
      Array(50).fill(stage.world.home),
    );
    expect((await flood).text === wanted).toBe(true);
  });

  test("11: connecting never gets stuck, and a program's exit is seen though its child goes on", async () => {
    await using world = await setup();
    using silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const stuck = ["-H", `http://127.0.0.1:${silent.port}`, "--connect-timeout", "300ms", "cwd"];
    const env = { FARHAND_TOKEN: world.local().token };
    expect(await world.say(stuck, { env })).toStartWith("125: farhand: Cannot connect");
    expect(await world.farhand(["exec", "--shell", "sleep 3633 & exit 4"])).toMatchObject({ code: 4 });
    // The shell may have ended before its child became that.
    await eventually(() => world.processes(/^sleep 3633/).length === 1, 30_000);
  });
});
