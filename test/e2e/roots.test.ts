import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";

import { type Connection, narrowToken, Pool } from "../../src/sdk.ts";
import { FARHANDD } from "../support/built.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const raiseError = true;

/** A server with roles. `app` is what a clerk may use; `other` is beside it, and `app/out` a link to that. */
async function setup() {
  const world = openWorld();
  const at = (name: string) => join(world.home, name);
  for (const name of ["app/sub", "other", "conf"]) mkdirSync(at(name), { recursive: true });
  writeFileSync(at("app/file"), "inside");
  writeFileSync(at("other/canary"), "secret");
  symlinkSync("../other", at("app/out"));
  const config = at("conf/farhandd.toml");
  const roles = [
    ["clerk", `["read", "write"]`, `roots = ["${at("app")}"]`],
    ["porter", `["read", "write"]`, `roots = ["${at("app")}", "${at("other")}"]`],
    ["reader", `["read"]`, 'roots = ["/"]'],
    ["builder", `["read", "write", "exec"]`, `roots = ["${at("app")}"]`],
  ];
  // Such a role takes root, without which it would keep the server from starting.
  if (process.getuid?.() === 0)
    for (const [name, permissions] of [
      ["helper", '["read", "write"]'],
      ["starter", '["exec"]'],
    ] as const)
      roles.push([name, permissions, `roots = ["${at("app")}"]\nrun_as = "64501:64501"`]);
  const tables = roles.map(
    ([name, permissions, more]) => `[roles.${name}]\npermissions = ${permissions}\n${more}\n`,
  );
  writeFileSync(config, `listen = "127.0.0.1:0"\n${tables.join("")}`);
  await world.start("--config", config);
  const { url } = world.local();
  const pools = new AsyncDisposableStack();
  const create = async (role: string) => {
    const made = await world.farhandd(["token", "create", `a-${role}`, "--role", role, "--config", config]);
    if (made.code !== 0) throw new Error(made.stderr);
    return made.stdout.trim();
  };
  return {
    ...world,
    at,
    create,
    /** The SDK as somebody with a token. */
    connect: (token: string) => {
      const pool = new Pool({});
      pools.defer(() => pool.close());
      return pool.add(url, { token }).connect({ timeout: 20_000 });
    },
    /** The client as somebody with a role. */
    as: async (role: string) => {
      const env = { FARHAND_TOKEN: await create(role), FARHAND_STATE: undefined };
      return (...args: string[]) => world.farhand(["-H", url, ...args], { env });
    },
    async [Symbol.asyncDispose]() {
      await pools.disposeAsync();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** The code of what an attempt is refused with; undefined where it is done. */
async function codeOf(attempt: Promise<unknown>): Promise<string | undefined> {
  return await attempt.then(
    () => undefined,
    (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : String(error)),
  );
}

/** What a clerk could try on a path. */
function attempts(c: Connection, path: string): Record<string, () => Promise<unknown>> {
  return {
    ls: () => c.ls(path, { raiseError }),
    lsAll: () => c.ls(path, { recursive: true, details: true, raiseError }),
    find: () => c.find(path, { raiseError }),
    stat: () => c.stat(path, { follow: true, raiseError }),
    df: () => c.df(path, { raiseError }),
    cd: () => c.cd(path, { raiseError }),
    rdfile: () => c.rdfile(path, { raiseError }),
    wrfile: () => c.wrfile(path, "gotcha", { raiseError }),
    append: () => c.wrfile(path, "gotcha", { append: true, raiseError }),
    touch: () => c.touch(path, { raiseError }),
    mkdir: () => c.mkdir(path, { parents: true, raiseError }),
    cpFrom: () => c.cp(path, "copy", { recursive: true, raiseError }),
    cpTo: () => c.cp("file", path, { raiseError }),
    mvFrom: () => c.mv(path, "moved", { raiseError }),
    mvTo: () => c.mv("file", path, { raiseError }),
    rm: () => c.rm(path, { recursive: true, raiseError }),
  };
}

describe("A caller with roots", () => {
  test("reaches nothing outside by any command and any spelling, and everything inside", async () => {
    await using world = await setup();
    const clerk = await world.connect(await world.create("clerk"));
    await clerk.cd(world.at("app"), { raiseError });
    const paths = [
      "..",
      "../other/canary",
      world.at("other/canary"),
      world.at("other/nothing"),
      "out/canary",
      "sub/../out/../other/canary",
      "/",
      "/etc/passwd",
      "/proc/self/cwd",
      `/proc/self/root${world.at("other/canary")}`,
      "/dev/fd/0",
      "/dev/null",
      `/${world.at("other/canary")}`,
    ];
    for (const path of paths)
      for (const [name, attempt] of Object.entries(attempts(clerk, path)))
        expect([path, name, await codeOf(attempt())]).toEqual([path, name, "forbidden"]);
    expect(readdirSync(world.home).sort()).toEqual(["app", "conf", "other"]);
    expect([readdirSync(world.at("other")), readdirSync(world.at("app")).sort()]).toEqual([
      ["canary"],
      ["file", "out", "sub"],
    ]);
    for (const spelling of ["%2e%2e/other/canary", "..%2fother/canary", "..\\other\\canary"])
      expect([spelling, await codeOf(clerk.rdfile(spelling, { raiseError }))]).toEqual([
        spelling,
        "os_error",
      ]);
    expect((await clerk.rdfile("file", { raiseError })).text).toBe("inside");
    expect((await clerk.which(["sh", "/bin/sh"])).result?.map(({ path }) => path)).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("is told by the client how to get in, and what he may use", async () => {
    await using world = await setup();
    const [clerk, porter] = [await world.as("clerk"), await world.as("porter")];
    const lost = await porter("ls");
    expect(lost.code).toBe(125);
    expect(lost.stderr).toStartWith(
      `farhand: Cannot list ".": it counts from the workspace's directory "${world.home}", which is outside of what you may use, which is in "${world.at("app")}"`,
    );
    expect(lost.stderr).toEndWith("; choose another with farhand cd, or write whole paths\n");
    expect((await porter("cd")).stderr).toContain("outside of what you may use");
    // Whoever has one root only begins there.
    expect(await clerk("ls")).toMatchObject({ code: 0, stdout: "file\nout\nsub\n" });
    expect(await clerk("cd")).toMatchObject({ code: 0, stdout: `${world.at("app")}\n` });
    expect(await clerk("ls", world.at("app"))).toMatchObject({ code: 0, stdout: "file\nout\nsub\n" });
    expect(await clerk("cd", world.at("app/sub"))).toMatchObject({
      code: 0,
      stdout: `${world.at("app/sub")}\n`,
    });
    expect((await clerk("cd", "../out")).stderr).toContain("outside of what you may use");
    expect(await clerk("ls", "..")).toMatchObject({ code: 0, stdout: "file\nout\nsub\n" });
    expect(await clerk("ls", "../*/canary")).toMatchObject({
      stderr: 'farhand: Cannot list "../*/canary": nothing matches\n',
    });
    const rm = await clerk("rm", "/etc/x", "../file");
    expect(rm).toMatchObject({ code: 125, stdout: "Removed ../file\n" });
    expect(rm.stderr).toContain('Cannot remove "/etc/x": it is outside of what you may use');
  });

  test("without any touches no files, and is told what to do", async () => {
    await using world = await setup();
    const viewer = await world.as("viewer");
    for (const args of [
      ["ls"],
      ["ls", "/"],
      ["rdfile", "/etc/passwd"],
      ["stat", "/"],
      ["find"],
      ["cwd"],
      ["df", "/"],
    ]) {
      const { code, stderr } = await viewer(...args);
      expect([args, code]).toEqual([args, args.join() === "find" ? 1 : 125]);
      expect(stderr).toContain(
        'you may use no files; ask for directories ("roots"), or for the permission "exec"',
      );
    }
    expect((await viewer("which", "sh")).code).toBe(1);
    expect((await viewer("df")).stdout.split("\n")).toHaveLength(2);
  });

  test("reaches neither the server's state, configuration and processes nor its machine's devices in a root", async () => {
    await using world = await setup();
    const reader = await world.as("reader");
    symlinkSync(world.state, world.at("state-link"));
    const { pid } = await world.status();
    const paths = [
      world.state,
      join(world.state, "local.json"),
      join(world.state, "auth.db"),
      join(world.state, "ledgers/nothing"),
      world.at("state-link/local.json"),
      world.at("conf/farhandd.toml"),
      `/proc/${pid}/environ`,
      `/proc/${pid}/root${join(world.state, "local.json")}`,
      "/proc/self/fd/0",
      "/sys/kernel",
      "/dev/null",
    ];
    for (const path of paths)
      for (const verb of ["rdfile", "ls", "find"]) {
        const { code, stdout, stderr } = await reader(verb, path);
        expect([verb, path, code, stdout]).toEqual([verb, path, 125, ""]);
        expect(stderr).toMatch(/it is the (server|system)'s own/);
      }
    expect((await reader("rdfile", "/etc/hostname")).code).toBe(0);
    expect((await reader("stat", FARHANDD)).code).toBe(0);
  });

  test("runs programs in his directories only, as does who has a narrowed token, which touches files there only", async () => {
    await using world = await setup();
    const builder = await world.create("builder");
    symlinkSync("sub", world.at("app/link"));
    const narrowed = narrowToken(world.local().token, { roots: [world.at("app"), world.at("other")] });
    const twice = narrowToken(narrowed, { roots: [world.at("app")] });
    for (const token of [builder, twice]) {
      const c = await world.connect(token);
      for (const cwd of [
        "/",
        world.at("other"),
        world.at("app/out"),
        world.at("nothing"),
        world.at("app/.."),
      ])
        expect([cwd, await codeOf(c.exec(["pwd"], { cwd, raiseError }))]).toEqual([cwd, "forbidden"]);
      const { stdout } = await c.exec(["pwd"], { cwd: world.at("app/link"), raiseError });
      expect(new TextDecoder().decode(stdout)).toBe(`${world.at("app/sub")}\n`);
      expect(await codeOf(c.rdfile(world.at("other/canary"), { raiseError }))).toBe("forbidden");
      expect(await codeOf(c.cd("/", { raiseError }))).toBe("forbidden");
    }
    const only = await world.connect(
      narrowToken(world.local().token, { commands: ["rdfile", "ls", "cd", "wrfile"] }),
    );
    for (const path of [join(world.state, "local.json"), world.at("app/file"), "/etc/passwd"])
      expect([path, await codeOf(only.rdfile(path, { raiseError }))]).toEqual([path, "forbidden"]);
    expect(await codeOf(only.wrfile(world.at("x"), "y", { raiseError }))).toBe("forbidden");
  });
});

testIf(process.platform === "linux" && process.getuid?.() === 0, "becoming another user takes root")(
  "a caller whose role runs as another user keeps to his roots, whatever that user may",
  async () => {
    await using world = await setup();
    for (const path of [dirname(world.home), world.home]) chmodSync(path, 0o755);
    chownSync(world.at("app"), 64_501, 64_501);
    const helper = await world.connect(await world.create("helper"));
    await helper.wrfile("his", "his own", { raiseError });
    expect(statSync(world.at("app/his")).uid).toBe(64_501);
    for (const path of [
      "../other/canary",
      "out/canary",
      "/etc/passwd",
      world.at("other/nothing"),
      "/proc/self/cwd",
    ]) {
      const codes = await Promise.all([
        codeOf(helper.rdfile(path, { raiseError })),
        codeOf(helper.stat(path, { follow: true, raiseError })),
        codeOf(helper.cd(path, { raiseError })),
      ]);
      expect([path, codes]).toEqual([path, ["forbidden", "forbidden", "forbidden"]]);
    }
    // In his roots he is told of no more than he may see, be it to start something.
    const starter = await world.connect(await world.create("starter"));
    mkdirSync(world.at("app/closed/inner"), { recursive: true });
    chmodSync(world.at("app/closed"), 0o700);
    for (const name of ["inner", "absent"]) {
      const { error } = await starter.exec(["true"], { cwd: world.at(`app/closed/${name}`) });
      expect(error).toMatchObject({ code: "os_error", details: { os: "EACCES" } });
    }
    expect((await starter.exec(["pwd"])).text).toBe(`${world.at("app")}\n`); // where he begins
    expect((await helper.rdfile("his", { raiseError })).text).toBe("his own");
    expect((await helper.which(["sh"])).result?.map(({ path }) => path)).toEqual([undefined]);
  },
);

testIf(process.platform === "linux", "two paths change places at once on Linux alone")(
  "10,000 swaps of a directory with a link to outside let nothing out, and nothing in",
  async () => {
    await using world = await setup();
    const clerk = await world.connect(await world.create("clerk"));
    await clerk.cd(world.at("app"), { raiseError });
    mkdirSync(world.at("app/swap/deep"), { recursive: true });
    writeFileSync(world.at("app/swap/canary"), "own");
    symlinkSync("../other", world.at("app/evil"));
    const before = readdirSync(world.at("other"));
    const fixture = resolve(import.meta.dir, "../fixtures/exchange.ts");
    const swapper = world.open([process.execPath, fixture, world.at("app/swap"), world.at("app/evil")]);
    const rounds = () => Number(swapper.said().trimEnd().split("\n").at(-1) ?? 0);
    const answers = new Map<string, number>();
    const text: string[] = [];
    const note = async (attempt: Promise<unknown>) => {
      const answer = (await codeOf(attempt)) ?? "done";
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    };
    const read = async () => text.push((await clerk.rdfile("swap/canary", { raiseError })).text);
    for (let number = 0; number < 100 || rounds() < 10_000; number++) {
      await Promise.all([
        note(read()),
        note(
          clerk
            .ls("swap", { details: true, raiseError })
            .then(({ events }) => expect(String(events)).not.toContain("secret")),
        ),
        note(clerk.wrfile(`swap/w${number}`, "x", { raiseError })),
        note(clerk.rm([`swap/w${number - 1}`, "evil/canary", "swap/deep"], { recursive: true, raiseError })),
        note(clerk.mkdir("swap/deep/er", { parents: true, raiseError })),
        note(clerk.cp("swap/canary", "copy", { raiseError })),
        note(clerk.mv("swap/deep", `d${number}`, { raiseError })),
        note(clerk.cd("swap", { raiseError }).then(() => clerk.cd(world.at("app"), { raiseError }))),
      ]);
    }
    swapper.kill("SIGKILL");
    expect(readdirSync(world.at("other"))).toEqual(before);
    expect(readFileSync(world.at("other/canary"), "utf8")).toBe("secret");
    expect([...new Set(text)]).toEqual(["own"]);
    // It was met in both states, or nothing was proved.
    expect([answers.get("done"), answers.get("forbidden")]).toEqual([expect.any(Number), expect.any(Number)]);
    expect([...answers.keys()].filter((code) => !["done", "forbidden", "os_error"].includes(code))).toEqual(
      [],
    );
  },
);
