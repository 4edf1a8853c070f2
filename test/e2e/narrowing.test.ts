import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createJobId, launchDetached } from "../../src/client/launch.ts";
import { narrowToken, Pool } from "../../src/sdk.ts";
import { type Callers, openCallers, refusalOf } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";

setDefaultTimeout(60_000);

const hasGit = Bun.which("git") !== null;

/** A repository with a remote that has a commit more, in the world's home. */
async function createRepository({ world }: Callers): Promise<string> {
  const base = realpathSync(world.home);
  const script =
    "git init -q -b main remote && cd remote && git config user.email a@b && git config user.name a && " +
    "git commit -q --allow-empty -m one && git clone -q . ../app && git commit -q --allow-empty -m two";
  const { code, stderr } = await world.shell(script);
  if (code !== 0) throw new Error(stderr);
  return join(base, "app");
}

describe("A token that was narrowed to git fetch", () => {
  testIf(hasGit, "there is no git")("fetches, and does nothing else whatever is tried", async () => {
    await using callers = await openCallers("");
    const { world, narrow, farhandAs } = callers;
    const app = await createRepository(callers);
    const full = await callers.createToken("alice", "operator");
    const token = await narrow(full, "--argv", "git fetch *", "--cwd", app);
    const exec = (...args: string[]) => farhandAs(token, ["exec", ...args]);
    const fetched = await exec("--", "git", "fetch", "origin"); // it begins where it is kept
    expect([fetched.code, fetched.stderr]).toEqual([0, expect.stringContaining("main")]);

    const evil = join(world.home, "evil");
    writeFileSync(evil, `#!/bin/sh\ntouch ${world.home}/made\n`);
    chmodSync(evil, 0o755);
    mkdirSync(join(world.home, "elsewhere"));
    symlinkSync(join(world.home, "elsewhere"), join(app, "out"));
    const tries: [refusal: string, ...args: string[]][] = [
      ["other programs", "--cwd", app, "--", "git", "push", "origin"],
      ["other programs", "--cwd", app, "--", "git", "fetch"],
      ["other programs", "--cwd", app, "--", "git", "fetch", `--upload-pack=${evil}`],
      ["other programs", "--cwd", app, "--", "git", "-c", `core.sshCommand=${evil}`, "fetch", "origin"],
      ["other programs", "--cwd", app, "--", "./git", "fetch", "origin"],
      ["other programs", "--cwd", app, "--", "sh", "-c", "git fetch origin"],
      ["no terminal", "-t", "--cwd", app, "--", "git", "fetch", "origin"],
      ["other programs", "--cwd", app, "--shell", "git fetch origin"],
      ["may not set", "--cwd", app, "-e", `GIT_SSH_COMMAND=${evil}`, "--", "git", "fetch", "origin"],
      ["may not set", "--cwd", app, "-e", `PATH=${world.home}`, "--", "git", "fetch", "origin"],
      ["may not set", "--cwd", app, "-e", `LD_PRELOAD=${evil}`, "--", "git", "fetch", "origin"],
      ["may not set", "--cwd", app, "--clear-env", "--", "git", "fetch", "origin"],
      ["outside of what", "--cwd", "/", "--", "git", "fetch", "origin"],
      ["outside of what", "--cwd", `${app}/..`, "--", "git", "fetch", "origin"],
      ["outside of what", "--cwd", `${app}/out`, "--", "git", "fetch", "origin"],
    ];
    for (const [refusal, ...args] of tries) {
      const { code, stderr } = await exec(...args);
      expect([args.join(" "), code, stderr]).toEqual([args.join(" "), 125, expect.stringContaining(refusal)]);
    }
    for (const args of [
      ["shell"],
      ["ls"],
      ["rdfile", join(world.state, "local.json")],
      ["env", "A=b"],
      ["ping"],
      ["close-server"],
    ])
      expect([args, (await farhandAs(token, args)).stderr]).toEqual([
        args,
        expect.stringContaining("Cannot"),
      ]);
    expect(existsSync(join(world.home, "made"))).toBe(false);
  });

  test("sees the jobs that were started with it, and no others of its user; with exec goes what looks after them", async () => {
    await using callers = await openCallers("");
    const { narrow, farhandAs, world } = callers;
    const full = await callers.createToken("alice", "admin");
    const [token, other] = [await narrow(full, "--argv", "sleep *"), await narrow(full, "--argv", "sleep *")];
    const inner = await narrow(token, "--expires", "1h");
    const detach = async (token: string) =>
      JSON.parse(
        (await farhandAs(token, ["exec", "-d", "--json", "--key", "k", "--", "sleep", "1000"])).stdout,
      ).job as string;
    const [mine, others, deeper, owners] = [
      await detach(token),
      await detach(other),
      await detach(inner),
      await detach(full),
    ];
    expect(new Set([mine, others, deeper, owners]).size).toBe(4); // the same key is another's
    const list = async (token: string) => {
      const { jobs } = JSON.parse((await farhandAs(token, ["jobs", "--json"])).stdout) as {
        jobs: { id: string }[];
      };
      return jobs.map(({ id }) => id).sort();
    };
    expect(await list(token)).toEqual([mine, deeper].sort());
    expect(await list(inner)).toEqual([deeper]);
    expect(await list(other)).toEqual([others]);
    expect((await list(full)).length).toBe(4);
    for (const ref of [mine, others, owners]) {
      const { code, stderr } = await farhandAs(inner, ["kill", ref]);
      expect([code, stderr]).toEqual([
        125,
        `farhand: Cannot find job "${ref}": see farhand jobs for those there are\n`,
      ]);
    }
    expect((await farhandAs(inner, ["kill", "@last"])).code).toBe(0);
    expect(await world.job(deeper)).toMatchObject({ outcome: { type: "cancelled", by: "alice" } });
    expect(await world.job(owners)).toMatchObject({ state: "running" });
  });
});

describe("--uses", () => {
  test("lets exactly so many of 100 at the same moment through, over several sessions", async () => {
    await using callers = await openCallers("");
    const token = await callers.narrow(await callers.createToken("alice", "operator"), "--uses", "2");
    const sessions = [await callers.open(token), await callers.open(token), await callers.open(token)];
    const asked = Array.from({ length: 100 }, (_, index) => {
      const session = sessions[index % sessions.length];
      const input = { argv: ["touch", `made-${index}`] };
      return index % 2 === 0 ? session?.call("ping", {}) : session && launchDetached(session, input).accepted;
    });
    const answers = await Promise.allSettled(asked);
    const refused = answers.filter((answer) => answer.status === "rejected");
    expect(refused).toHaveLength(98);
    for (const { reason } of refused)
      expect(reason).toMatchObject({
        code: "forbidden",
        message: expect.stringContaining("your token was narrowed to 2 uses, which are used up"),
      });
  });

  test("counts a job once, sent again or to a server that was killed, and also what was made from the token", async () => {
    await using callers = await openCallers("");
    const { world } = callers;
    const token = await callers.narrow(
      await callers.createToken("alice", "operator"),
      "--only",
      "exec",
      "--uses",
      "2",
    );
    const inner = await callers.narrow(token, "--uses", "9");
    const first = { command: "exec", input: { argv: ["true"] }, job: createJobId() };
    const again = [await callers.open(token), await callers.open(token)];
    await Promise.all(again.flatMap((session) => [session.start(first), session.start(first)]));
    const { pid } = await world.status();
    process.kill(pid, "SIGKILL");
    await eventually(async () => (await world.farhandd(["status"])).code === 3);
    await world.start();
    const after = await callers.open(token);
    await after.start(first);
    await (await callers.open(inner)).start({ ...first, job: createJobId() });
    for (const text of [token, inner]) {
      const session = await callers.open(text);
      expect(await refusalOf(session.start({ ...first, job: createJobId() }))).toContain("used up");
    }
    await after.start(first);
    expect(await after.call("wait", { job: first.job })).toMatchObject({ id: first.job }); // which is no use
  });

  test("of the command line is one for each exec, whatever comes with it", async () => {
    await using callers = await openCallers("");
    const token = await callers.narrow(
      ...([await callers.createToken("alice", "operator"), "--argv", "cat", "--uses", "2"] as const),
    );
    for (const text of ["one", "two"]) {
      const { code, stdout } = await callers.farhandAs(token, ["exec", "--", "cat"], { stdin: text });
      expect([code, stdout]).toEqual([0, text]);
    }
    expect((await callers.farhandAs(token, ["exec", "--", "cat"])).stderr).toBe(
      'farhand: Cannot call "exec": your token was narrowed to 2 uses, which are used up\n',
    );
  });
});

test("--expires ends what goes on within five seconds, and the job goes on", async () => {
  await using callers = await openCallers("");
  const { world } = callers;
  const token = await callers.narrow(await callers.createToken("alice", "operator"), "--expires", "3s");
  const began = performance.now();
  const streaming = world.open(["farhand", "exec", "--", "sh", "-c", "echo begun; exec sleep 1000"], {
    env: { FARHAND_TOKEN: token },
  });
  await eventually(() => streaming.said() === "begun\n");
  const { code, stderr } = await streaming.ran;
  expect([code, stderr]).toEqual([125, expect.stringContaining("not valid any more")]);
  expect(performance.now() - began).toBeLessThan(80_000);
  expect(await world.job("1")).toMatchObject({ state: "running", owner: "alice" });
  expect((await callers.farhandAs(token, ["ping"])).code).toBe(125);
});

describe("farhand token", () => {
  test("narrows without a server and prints the token alone; show tells all but what is secret", async () => {
    await using callers = await openCallers("");
    const { world } = callers;
    const full = await callers.createToken("alice", "admin");
    await world.farhandd(["stop"]);
    const env = { FARHAND_TOKEN: full, FARHAND_STATE: join(world.home, "nowhere") };
    const made = await world.farhand(
      [
        "token",
        "narrow",
        "--only",
        "job_show,exec",
        "--argv",
        "'git' fetch \"a b\" *",
        "--env",
        "LANG",
        "--cwd",
        "/srv",
        "--uses",
        "2",
        "--expires",
        "1h",
      ],
      { env },
    );
    expect([made.code, made.stderr]).toEqual([0, ""]);
    expect(made.stdout).toMatch(/^fh_[\w.-]+\n$/);
    const token = made.stdout.trim();
    const shown = await world.farhand(["token", "show"], { env: { ...env, FARHAND_TOKEN: token } });
    expect(shown.stdout).toMatch(
      /^token [0-9a-f]{16}, narrowed 1 time, each of which holds:\n {2}1\. only job-show, exec; to run git fetch a\\ b \*; setting LANG; in \/srv; 2 uses; until .*, in (59 m|1 h).*\n$/,
    );
    const json = await world.farhand(["token", "show", "--json"], { env: { ...env, FARHAND_TOKEN: token } });
    expect(JSON.parse(json.stdout)).toMatchObject({
      links: [
        {
          commands: ["job-show", "exec"],
          argv: [["git", "fetch", "a b", "*"]],
          environment: ["LANG"],
          uses: 2,
        },
      ],
    });
    for (const secret of [token.slice(-43), full.slice(-43)])
      expect([shown.stdout, json.stdout].join("")).not.toContain(secret);
    const out = join(world.home, "narrow.token");
    const written = await world.shell(`umask 0; farhand token narrow --uses 1 --out ${out}`, { env });
    expect([written.stdout, statSync(out).mode & 0o777]).toEqual([`${out}\n`, 0o600]);
    expect((await world.farhand(["token", "narrow", "--uses", "1", "--out", out], { env })).stderr).toContain(
      "it is there already",
    );
  });

  test.each([
    [[], "Cannot narrow a token by nothing"],
    [["--uses", "0"], 'Cannot use --uses "0"'],
    [["--expires", "soon"], 'Cannot use --expires "soon"'],
    [["--expires", "2020-01-01"], "that is over"],
    [["--cwd", "here"], "write an absolute path"],
    [["--argv", ""], "name a program"],
    [["--argv", "a 'b"], "is not closed"],
  ])("refuses %j", async (args, why) => {
    const token = "fh_0123456789abcdef_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    await using world = (await import("../support/world.ts")).openWorld();
    const { code, stderr } = await world.farhand(["token", "narrow", ...args], {
      env: { FARHAND_TOKEN: token },
    });
    expect([code, stderr]).toEqual([125, expect.stringContaining(why)]);
    expect(stderr).not.toContain("AAAAAAAA");
  });
});

test("narrowToken() of the SDK makes what the server takes", async () => {
  await using callers = await openCallers("");
  const token = narrowToken(await callers.createToken("alice", "operator"), { commands: ["ping"] });
  await using pool = new Pool({});
  const web1 = await pool.add(callers.world.local().url, { token }).connect();
  expect(await web1.ping()).toBeGreaterThan(0);
  expect((await web1.cwd()).error).toMatchObject({
    code: "forbidden",
    message: 'Cannot call "cwd": your token was narrowed to other commands',
  });
  expect(() => narrowToken("fh_nonsense", { uses: 1 })).toThrow("none of Farhand's");
  expect(() => narrowToken(token, { uses: 0 })).toThrow('not valid at "uses"');
});
