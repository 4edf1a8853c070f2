import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findStart } from "../../src/ledger/start.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld, parseShown } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const exec = (...args: string[]) => world.farhand(["exec", ...args]);
  return { ...world, exec };
}

describe("exec ends with", () => {
  test("the program's own exit code", async () => {
    await using world = await setup();
    for (const code of [0, 1, 2, 42, 125, 126, 127, 255]) {
      const ran = await world.exec("--", "sh", "-c", `exit ${code}`);
      expect(ran).toEqual({ code, signal: null, stdout: "", stderr: "" });
    }
  });

  test("128 and the number of the signal that ended the program", async () => {
    await using world = await setup();
    for (const [name, number] of [
      ["TERM", 15],
      ["KILL", 9],
      ["HUP", 1],
      ["SEGV", 11],
    ] as const) {
      const { code, stderr } = await world.exec("--", "sh", "-c", `kill -${name} $$`);
      expect([name, code, stderr]).toEqual([name, 128 + number, ""]);
    }
  });

  test("127 and a sentence for a program that does not exist", async () => {
    await using world = await setup();
    expect(await world.exec("--", "no-such-program")).toMatchObject({
      code: 127,
      stdout: "",
      stderr: 'farhand: Cannot run "no-such-program": no such program in PATH (ENOENT)\n',
    });
    expect(await world.exec("--", "/no/such/program")).toMatchObject({
      code: 127,
      stderr: 'farhand: Cannot run "/no/such/program": "/no/such/program" does not exist (ENOENT)\n',
    });
  });

  test("126 and a sentence for a file that is not executable", async () => {
    await using world = await setup();
    const file = join(world.home, "notes.txt");
    writeFileSync(file, "plain\n", { mode: 0o644 });
    expect(await world.exec("--", file)).toMatchObject({
      code: 126,
      stdout: "",
      stderr: `farhand: Cannot run "${file}": "${file}" is not executable (EACCES)\n`,
    });
  });

  test("126 and a sentence for a directory", async () => {
    await using world = await setup();
    expect(await world.exec("--", world.home)).toMatchObject({
      code: 126,
      stderr: `farhand: Cannot run "${world.home}": "${world.home}" is a directory (EISDIR)\n`,
    });
  });

  test("126 and a sentence for a program whose interpreter is missing", async () => {
    await using world = await setup();
    const file = join(world.home, "script");
    writeFileSync(file, "#!/no/such/interpreter\n");
    chmodSync(file, 0o755);
    const { code, stderr } = await world.exec("--", file);
    expect(code).toBe(126);
    expect(stderr).toContain("interpreter");
  });

  test("126 and a sentence for a working directory that is missing", async () => {
    await using world = await setup();
    expect(await world.exec("--cwd", "/no/such/place", "--", "true")).toMatchObject({
      code: 126,
      stderr:
        'farhand: Cannot start in directory "/no/such/place": it does not exist (ENOENT); choose another with --cwd, or farhand cd\n',
    });
  });

  test("125 and a sentence for a command line that cannot be read", async () => {
    await using world = await setup();
    for (const [args, sentence] of [
      [[], "Cannot run nothing"],
      [["--no-such-option", "--", "true"], 'there is no option "--no-such-option"'],
      [["--env", "NAME", "--", "true"], 'Cannot read --env "NAME": write NAME=VALUE'],
      [["--keep-output", "12KiB", "--", "true"], "the least is 1MiB"],
      [["--shell", "true", "--", "true"], "Cannot run both --shell and a program"],
    ] as const) {
      const { code, stdout, stderr } = await world.exec(...args);
      expect([code, stdout]).toEqual([125, ""]);
      expect(stderr).toContain(sentence);
      expect(stderr.trimEnd()).not.toContain("\n");
    }
  });

  test("125 and a sentence for a call that no frame has room for, in bytes", async () => {
    await using world = await setup();
    const words = Array.from({ length: 10 }, () => "é".repeat(60_000)); // 600,000 characters
    expect(await world.exec("--", "true", ...words)).toMatchObject({
      code: 125,
      stdout: "",
      stderr: 'farhand: Cannot call "exec": the call takes more than 1048576 bytes\n',
    });
  });
});

describe("exec gives the program", () => {
  test("its arguments exactly", async () => {
    await using world = await setup();
    const words = ["", " two  spaces ", "$HOME", "*", "a'b\"c", "new\nline", "--json", "-d", "--", "ünï"];
    const { code, stdout } = await world.exec("--", "printf", "%s|", ...words);
    expect([code, stdout]).toEqual([0, words.map((word) => `${word}|`).join("")]);
  });

  test("the server's environment with --env over it, and nothing of Farhand's own but the job's id", async () => {
    await using world = await setup();
    const { stdout } = await world.exec("--env", "COLOUR=dark blue", "--env", "EMPTY=", "--", "env");
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toContain("COLOUR=dark blue");
    expect(lines).toContain("EMPTY=");
    expect(lines).toContain(`HOME=${world.home}`);
    const { id } = await world.job("@last");
    expect(lines.filter((line) => /^(FARHAND|BUN)_/.test(line))).toEqual([`FARHAND_JOB=${id}`]);
  });

  test("only --env and the job's id with --clear-env", async () => {
    await using world = await setup();
    const { stdout } = await world.exec("--clear-env", "--env", "ONLY=this", "--", "/usr/bin/env");
    expect(stdout).toBe(`ONLY=this\nFARHAND_JOB=${(await world.job("@last")).id}\n`);
  });

  test("variables whose names objects have of themselves, and records those names", async () => {
    await using world = await setup();
    const names = ["__proto__", "constructor", "hasOwnProperty", "prototype", "toString"];
    const set = names.flatMap((name) => ["--env", `${name}=x ${name}`]);
    const { code, stdout } = await world.exec("--clear-env", ...set, "--", "/usr/bin/env");
    const lines = stdout.trimEnd().split("\n");
    expect([code, lines.filter((line) => !line.startsWith("FARHAND_JOB=")).sort()]).toEqual([
      0,
      names.map((name) => `${name}=x ${name}`),
    ]);
    const { id } = await world.job("@last");
    expect(findStart(join(world.state, "ledgers", id))?.envNames).toEqual(names);
  });

  test("such variables of the server's own environment too", async () => {
    await using world = openWorld();
    const env = JSON.parse('{"__proto__":"a","constructor":"b","prototype":"c"}');
    await world.farhandd(["start", "--listen", "127.0.0.1:0"], { env });
    const { stdout } = await world.farhand(["exec", "--", "/usr/bin/env"]);
    expect(stdout.split("\n")).toEqual(
      expect.arrayContaining(["__proto__=a", "constructor=b", "prototype=c"]),
    );
  });

  test("the home directory, or the one that --cwd names", async () => {
    await using world = await setup();
    mkdirSync(join(world.home, "below"));
    expect((await world.exec("--", "pwd")).stdout).toBe(`${world.home}\n`);
    expect((await world.exec("--cwd", "/usr/bin", "--", "pwd")).stdout).toBe("/usr/bin\n");
    expect((await world.exec("--cwd", "below", "--", "pwd")).stdout).toBe(`${world.home}/below\n`);
  });

  test("a shell with --shell", async () => {
    await using world = await setup();
    const { code, stdout } = await world.exec("--shell", "printf 'b\\na\\n' | sort; exit 7");
    expect([code, stdout]).toEqual([7, "a\nb\n"]);
  });

  test("the client's stdin to its end", async () => {
    await using world = await setup();
    const { code, stdout } = await world.farhand(["exec", "--", "sort"], { stdin: "b\nc\na\n" });
    expect([code, stdout]).toEqual([0, "a\nb\nc\n"]);
  });

  test("no end of a stdin that cannot be read: the job is cancelled, and the client exits 125", async () => {
    await using world = await setup();
    const { code, stdout, stderr } = await world.shell(`farhand exec --shell 'cat; echo whole' < "$HOME"`);
    expect([code, stdout, stderr]).toEqual([
      125,
      "",
      expect.stringMatching(/^farhand: Cannot read stdin: EISDIR.*\n$/),
    ]);
    expect((await world.job("@last")).outcome).toMatchObject({ type: "cancelled" });
  });

  test("an empty stdin with --no-stdin, though the client's stays open", async () => {
    await using world = await setup();
    const { code, stdout } = await world.shell("farhand exec --no-stdin -- wc -c < <(exec sleep 1000 2>&-)");
    expect([code, stdout]).toEqual([0, "0\n"]);
  });

  test("a process group and session of its own", async () => {
    await using world = await setup();
    const { stdout } = await world.exec("--", "sh", "-c", "echo $$; ps -o pgid=,sid= -p $$");
    const [pid, ids = ""] = stdout.trim().split("\n");
    expect(ids.trim().split(/\s+/)).toEqual([pid ?? "", pid ?? ""]);
  });

  test("the descriptors and the umask of an ordinary program", async () => {
    await using world = await setup();
    const { stdout } = await world.exec(
      "--",
      "bash",
      "-c",
      "sleep 0.05; ulimit -Sn; umask; ls /proc/self/fd | wc -l",
    );
    const own = await world.shell("umask");
    const [descriptors, umask, open] = stdout.trim().split("\n");
    expect(Number(descriptors)).toBeLessThanOrEqual(1024);
    expect(umask).toBe(own.stdout.trim());
    expect(open).toBe("4"); // 0, 1, 2, and ls's own of the directory
  });
});

describe("exec shows", () => {
  test("stdout and stderr apart", async () => {
    await using world = await setup();
    const ran = await world.exec("--", "sh", "-c", "echo out; echo err >&2");
    expect(ran).toMatchObject({ code: 0, stdout: "out\n", stderr: "err\n" });
  });

  test("both on stdout in exact order with --merge", async () => {
    await using world = await setup();
    const line = "for i in $(seq 300); do echo out $i; echo err $i >&2; done";
    const { stdout, stderr } = await world.exec("--merge", "--shell", line);
    const expected = Array.from({ length: 300 }, (_, i) => `out ${i + 1}\nerr ${i + 1}\n`).join("");
    expect([stdout, stderr]).toEqual([expected, ""]);
  });

  test("bytes that are no text as they are", async () => {
    await using world = await setup();
    const { code, stdout } = await world.shell(
      "farhand exec -- printf '\\377\\000\\376\\r\\n' | od -An -tx1",
    );
    expect([code, stdout.trim()]).toEqual([0, "ff 00 fe 0d 0a"]);
  });

  test("one JSON object per line with --json, the whole outcome in the last", async () => {
    await using world = await setup();
    const { code, stdout, stderr } = await world.exec("--json", "--", "sh", "-c", "echo out; exit 125");
    const shown = parseShown(stdout);
    expect([code, stderr]).toEqual([125, ""]);
    expect(shown.map(({ type }) => type)).toEqual(["accepted", "stdout", "exit"]);
    expect(shown.at(1)).toMatchObject({ text: "out\n" });
    expect(shown.at(-1)).toMatchObject({
      outcome: { type: "exited", code: 125 },
      totals: { packets: 1, stdoutBytes: 4, stderrBytes: 0 },
    });
  });

  test("its own failure as JSON with --json, apart from a program's 125", async () => {
    await using world = await setup();
    await world.farhandd(["stop"]);
    const { code, stdout } = await world.exec("--json", "--", "true");
    expect(code).toBe(125);
    expect(JSON.parse(stdout)).toMatchObject({ type: "error", code: "unavailable" });
  });

  test("a job that could not start as its outcome with --json", async () => {
    await using world = await setup();
    const { code, stdout } = await world.exec("--json", "--", "no-such-program");
    expect(code).toBe(127);
    expect(parseShown(stdout).at(-1)).toMatchObject({
      outcome: { type: "not_started", reason: { code: "program_not_found" } },
    });
  });
});

describe("exec --detach", () => {
  test("prints the job's id and leaves it running, to be followed and waited for", async () => {
    await using world = await setup();
    const { code, stdout } = await world.exec("-d", "--", "sh", "-c", "sleep 0.3; echo late; exit 9");
    expect(code).toBe(0);
    const id = stdout.trim();
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect((await world.farhand(["wait", id])).code).toBe(9);
    expect(await world.farhand(["follow", id])).toMatchObject({ code: 9, stdout: "late\n" });
    expect(await world.farhand(["follow", "1", "--recent", "1"])).toMatchObject({ code: 9 });
    expect(await world.farhand(["follow", "@last", "--since", "0"])).toMatchObject({ stdout: "late\n" });
  });

  test("does not wait for the job, nor for the client's own stdin", async () => {
    await using world = await setup();
    const { code } = await world.shell("farhand exec -d -- sleep 1000 < <(exec sleep 1000 2>&-)");
    expect(code).toBe(0);
    // The job's, and the one before the pipe, which may be slower than both.
    await eventually(() => world.processes(/^sleep 1000/).length === 2);
  });

  test("prints id and number with --json", async () => {
    await using world = await setup();
    const { stdout } = await world.exec("-d", "--json", "--", "true");
    expect(JSON.parse(stdout)).toEqual({ job: expect.any(String), number: 1 });
  });
});
