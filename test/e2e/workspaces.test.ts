import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Pool } from "../../src/sdk.ts";
import { eventually } from "../support/eventually.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const home = realpathSync(world.home);
  mkdirSync(join(home, "app/src"), { recursive: true });
  /** What a command says on stdout; it must succeed. */
  const say = async (...args: string[]) => {
    const { code, stdout, stderr } = await world.farhand(args);
    if (code !== 0) throw new Error(`farhand ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout.trimEnd();
  };
  const kept = join(world.state, "workspaces");
  const restart = async (...args: string[]) => {
    const { pid } = await world.status();
    process.kill(pid, "SIGKILL");
    await eventually(() => !isRunning(pid), 30_000);
    await world.start(...args);
  };
  return { ...world, home, app: join(home, "app"), say, restart, kept };
}

describe("farhand cd", () => {
  test("changes where every later command of another process runs, and what its paths count from", async () => {
    await using world = await setup();
    writeFileSync(join(world.app, "notes"), "");
    expect(await world.say("cwd")).toBe(world.home);
    expect(await world.say("cd", "app")).toBe(world.app);
    expect(await world.say("exec", "--", "pwd")).toBe(world.app);
    expect(await world.say("exec", "--cwd", "src", "--", "pwd")).toBe(join(world.app, "src"));
    expect(await world.say("exec", "--shell", "ls")).toBe("notes\nsrc");
    expect(await world.say("ls")).toBe("notes\nsrc");
    expect(await world.say("cd", "src")).toBe(join(world.app, "src"));
    expect(await world.say("cd", "..")).toBe(world.app);
    expect(await world.say("cd", "-")).toBe(join(world.app, "src"));
    expect(await world.say("cd")).toBe(world.home);
    expect(JSON.parse(await world.say("cwd", "--json"))).toEqual({ cwd: world.home });
  });

  test("refuses what is no directory, with the system's code and the path, and stays", async () => {
    await using world = await setup();
    writeFileSync(join(world.home, "file"), "");
    const refused = async (path: string) => {
      const { code, stdout } = await world.farhand(["cd", "--json", path]);
      expect(code).toBe(125);
      return JSON.parse(stdout);
    };
    expect(await refused("none")).toEqual({
      type: "error",
      code: "os_error",
      message: 'Cannot change to "none": no such file or directory (ENOENT)',
      details: { os: "ENOENT", path: "none" },
    });
    expect(await refused("file")).toMatchObject({ details: { os: "ENOTDIR" } });
    expect(await refused("x".repeat(300))).toMatchObject({ details: { os: "ENAMETOOLONG" } });
    expect(await world.say("cwd")).toBe(world.home);
  });

  test("enters directories whose names are newlines, dashes, or no text at all", async () => {
    await using world = await setup();
    const raw = Buffer.from([0x62, 0xff, 0x63]);
    mkdirSync(Buffer.concat([Buffer.from(`${world.home}/`), raw]));
    for (const name of ["-x", "a\nb", " ", "\u001b[2J", "@"]) {
      mkdirSync(join(world.home, name));
      const answer = JSON.parse(await world.say("cd", "--json", "--", join(world.home, name)));
      expect(answer).toEqual({ cwd: join(world.home, name) });
      const { stdout } = await world.farhand(["exec", "--", "pwd"]);
      expect(stdout).toBe(`${join(world.home, name)}\n`);
      expect(await world.say("cwd")).not.toMatch(/[\n\u001b]/);
    }
    await world.say("cd", world.home);
    const { cwdBytes } = JSON.parse(await world.say("cd", "--json", "--path-bytes", raw.toString("base64")));
    expect(Buffer.from(cwdBytes, "base64")).toEqual(Buffer.concat([Buffer.from(`${world.home}/`), raw]));
    writeFileSync(Buffer.concat([Buffer.from(`${world.home}/`), raw, Buffer.from("/inside")]), "");
    expect(await world.say("ls")).toBe("inside");
    expect(await world.farhand(["exec", "--", "true"])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("its name is no UTF-8; choose another with farhand cd"),
    });
    expect(await world.say("cd", "..")).toBe(world.home);
  });
});

describe("farhand -w", () => {
  test("names a workspace of its own, also by FARHAND_WORKSPACE, before which it comes", async () => {
    await using world = await setup();
    await world.say("-w", "build", "cd", "app");
    await world.say("cd", "-w", "test", "app/src");
    const env = { FARHAND_WORKSPACE: "build" };
    expect((await world.farhand(["exec", "--", "pwd"], { env })).stdout).toBe(`${world.app}\n`);
    expect((await world.farhand(["-w", "test", "exec", "--", "pwd"], { env })).stdout).toBe(
      `${world.app}/src\n`,
    );
    expect((await world.farhand(["-w", "default", "cwd"], { env })).stdout).toBe(`${world.home}\n`);
    expect(await world.say("cwd")).toBe(world.home);
    // A job copies it at its start.
    const job = await world.detach("-w", "build", "--shell", "while [ ! -e go ]; do sleep 0.02; done; pwd");
    await world.say("-w", "build", "cd", "/");
    writeFileSync(join(world.app, "go"), "");
    expect(await world.say("follow", job)).toBe(world.app);
  });

  test.each(["../x", "a/b", ".x", "@", "__proto__", "a b", "x".repeat(65)])(
    "refuses %j as a name before it connects",
    async (name) => {
      await using world = openWorld();
      expect(await world.farhand(["-w", name, "cwd"])).toMatchObject({
        code: 125,
        stderr: expect.stringMatching(/^farhand: Cannot use workspace ".*": it (is no name|has more)/),
      });
    },
  );

  test("is still the letter by which jobs are watched", async () => {
    await using world = await setup();
    expect((await world.farhand(["jobs", "--help"])).stdout).toContain("-w, --watch");
    expect((await world.farhand(["-w", "build", "jobs"])).code).toBe(0);
  });
});

describe("farhand env", () => {
  test("gives variables to every later job over the server's own, and below the call's", async () => {
    await using world = await setup();
    expect(await world.say("-w", "build", "env", "CC=clang", "EMPTY=", "TWO=a\nb")).toBe(
      "CC=clang\nEMPTY=\nTWO=a\\nb",
    );
    expect(await world.say("-w", "build", "env", "--unset", "LC_ALL", "CC")).toBe("CC=clang\nunset LC_ALL");
    expect(await world.say("-w", "build", "env", "CC", "TWO")).toBe("clang\na\nb");
    const shown = 'echo "$CC|${EMPTY-none}|$TWO|${HOME-none}"';
    expect(await world.say("-w", "build", "exec", "--shell", shown)).toBe(`clang||a\nb|${world.home}`);
    expect(await world.say("-w", "build", "exec", "-e", "CC=gcc", "--shell", "echo $CC")).toBe("gcc");
    expect(await world.say("-w", "build", "exec", "--clear-env", "--shell", "echo ${CC-none}")).toBe("none");
    expect(await world.say("exec", "--shell", "echo ${CC-none}")).toBe("none");
    await world.say("-w", "build", "env", "--unset", "HOME");
    expect(await world.say("-w", "build", "exec", "--shell", "echo ${HOME-none}")).toBe("none");
    expect(await world.say("-w", "build", "env", "--inherit", "HOME", "HOME")).toBe(`HOME=${world.home}`);
    expect(await world.say("-w", "build", "env")).toContain(`\nHOME=${world.home}\n`);
    expect(await world.say("-w", "build", "env", "--changed")).toBe(
      "CC=clang\nEMPTY=\nTWO=a\\nb\nunset LC_ALL",
    );
    expect(await world.farhand(["-w", "build", "env", "NOPE"])).toMatchObject({ code: 125, stdout: "" });
  });
});

describe("Workspaces", () => {
  test("are there after kill -9 of the server, exactly as they were answered for", async () => {
    await using world = await setup();
    await world.say("-w", "build", "cd", "app");
    await world.say("-w", "build", "env", "CC=clang");
    await world.say("-w", "@script", "cd", "app/src");
    await world.restart();
    expect(await world.say("-w", "build", "exec", "--shell", "echo $CC $PWD")).toBe(`clang ${world.app}`);
    expect(await world.say("-w", "@script", "cwd")).toBe(join(world.app, "src"));
    const { workspaces } = JSON.parse(await world.say("workspace", "list", "--json"));
    expect(workspaces).toMatchObject([
      { name: "default", cwd: world.home, set: 0, unset: 0 },
      { name: "build", cwd: world.app, set: 1, unset: 0 },
    ]);
    expect(statSync(world.kept).mode & 0o777).toBe(0o700);
    await world.farhandd(["stop"]);
    expect((await world.farhandd(["repair", "--rebuild"])).code).toBe(0);
    await world.start();
    expect(await world.say("-w", "build", "cwd")).toBe(world.app);
    await world.say("workspace", "remove", "build");
    await world.restart();
    expect(await world.say("-w", "build", "cwd")).toBe(world.home);
    expect(await world.farhand(["workspace", "remove", "nope"])).toMatchObject({
      code: 125,
      stderr: 'farhand: Cannot remove workspace "nope": there is none of that name\n',
    });
  });

  test("lose no change when the server is killed while many clients change them at once", async () => {
    await using world = await setup();
    const names = Array.from({ length: 12 }, (_, number) => `V${number}`);
    const changing = names.map((name) =>
      world.farhand(["-w", "build", "--connect-timeout", "20s", "env", `${name}=x`]),
    );
    await Promise.race(changing);
    await world.restart();
    for (const ran of await Promise.all(changing)) expect(ran).toMatchObject({ code: 0, stderr: "" });
    const { set } = JSON.parse(await world.say("-w", "build", "env", "--changed", "--json"));
    expect(set.sort()).toEqual(names.toSorted());
    expect(readdirSync(world.kept).filter((file) => file.endsWith(".new"))).toEqual([]);
  });

  test("whose directory is gone say so wherever it is needed, with what to do, and cd and env still work", async () => {
    await using world = await setup();
    await world.say("-w", "build", "cd", "app/src");
    rmSync(join(world.app, "src"), { recursive: true });
    const gone = join(world.app, "src");
    const refusals = [
      { args: ["exec", "--", "true"], code: 126 },
      { args: ["exec", "--shell", "true"], code: 126 },
      { args: ["cwd"], code: 125 },
      { args: ["ls"], code: 125 },
      { args: ["stat", "x"], code: 125 },
      { args: ["cd", "x"], code: 125 },
    ];
    for (const { args, code } of refusals) {
      const ran = await world.farhand(["-w", "build", ...args]);
      expect([args, ran.code]).toEqual([args, code]);
      expect(ran.stderr).toContain(`"${gone}"`);
      expect(ran.stderr).toMatch(/ENOENT.*farhand cd/);
    }
    expect(await world.say("workspace", "list")).toContain(`${gone} (is gone: ENOENT)`);
    expect(await world.say("-w", "build", "env", "A=1")).toBe("A=1");
    expect(await world.say("-w", "build", "exec", "--cwd", "..", "--", "pwd")).toBe(world.app);
    expect(await world.say("-w", "build", "cd", "..")).toBe(world.app);
    expect(await world.say("-w", "build", "exec", "--shell", "echo $A")).toBe("1");
  });

  test("whose file is damaged or open to others refuse their own calls alone, and the file stays", async () => {
    await using world = await setup();
    await world.say("-w", "build", "cd", "app");
    const [file = ""] = readdirSync(world.kept);
    const path = join(world.kept, file);
    chmodSync(path, 0o644);
    await world.restart();
    const refused = await world.farhand(["-w", "build", "exec", "--", "true"]);
    expect(refused).toMatchObject({ code: 125, stdout: "" });
    expect(refused.stderr).toContain(`run chmod 600 ${path}`);
    expect(await world.say("exec", "--", "pwd")).toBe(world.home);
    chmodSync(path, 0o600);
    expect(await world.say("-w", "build", "cwd")).toBe(world.app);
    writeFileSync(path, "{}");
    await world.restart();
    expect((await world.farhand(["-w", "build", "cwd"])).stderr).toContain("farhand workspace remove build");
    expect(await Bun.file(path).text()).toBe("{}");
    // Also where the call that removes it is in it.
    await world.say("-w", "build", "workspace", "remove", "build");
    expect(await world.say("-w", "build", "cwd")).toBe(world.home);
  });
});

test("a private workspace of a connection goes with its goodbye, and not with a restart of the server", async () => {
  await using world = await setup();
  await using pool = new Pool({ FARHAND_STATE: world.state });
  const { url } = world.local();
  const files = () => readdirSync(world.kept).filter((file) => file.endsWith(".json"));
  const connection = await pool.add(url).connect({ timeout: 10_000 });
  await connection.cd(world.app, { raiseError: true });
  expect(files()).toHaveLength(1);
  expect(await world.say("cwd")).toBe(world.home);
  expect(await world.say("workspace", "list")).not.toContain("@");
  await world.restart("--listen", new URL(url).host);
  expect(await connection.cwd({ raiseError: true })).toMatchObject({ result: { cwd: world.app } });
  await connection[Symbol.asyncDispose]();
  await eventually(() => files().length === 0, 30_000);
});
