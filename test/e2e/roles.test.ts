import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, realpathSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { createHolderId, createJobId, launchDetached } from "../../src/client/launch.ts";
import type { Session } from "../../src/client/session.ts";
import { type Builtins, listCommands } from "../../src/commands/index.ts";
import type { JobId, WriterId } from "../../src/protocol/id.ts";
import { openCallers, refusalOf } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw.ts";

setDefaultTimeout(60_000);

/** Starts a job as somebody, and answers its id. */
async function start(session: Session, argv: readonly string[], more: object = {}): Promise<JobId> {
  const { accepted } = launchDetached(session, { argv: [...argv], ...more });
  return (await accepted).job;
}

/** Reads one packet of a job, or fails as its channel does. */
async function readOf(session: Session, job: JobId): Promise<unknown> {
  for await (const packet of session.openOutput(job, { type: "since", number: 0 })) return packet;
  return undefined;
}

/** Types to a job; false where that is not taken. */
function typeTo(session: Session, job: JobId): Promise<boolean> {
  return session.openInput(job, crypto.randomUUID() as WriterId).write(new TextEncoder().encode("evil\n"));
}

/**
 * What each command can lead to, and who therefore may not. `nobody`: it tells of the machine, of one's own jobs or of nothing.
 * `files`: as far as roots go, and those of whoever lacks `exec` never hold what is the server's own (the file tests say more).
 */
const LEADS_TO: Readonly<Record<keyof Builtins, string>> = {
  exec: "any program as the server's user: exec",
  "send-input": "whatever a shell is told: exec, and only to jobs in a role of one's own",
  "module-put": "a program that a task can be: exec",
  "task-start": "any program as the server's user: exec",
  "task-exec": "whatever a task does with what it is told: exec",
  "task-await": "what a task has answered: exec",
  "task-stop": "the end of what others rely on: exec",
  "task-restart": "the end of what others rely on: exec",
  "task-list": "nobody",
  "task-show": "nobody",
  kill: "the end of what others rely on: exec",
  "job-label": "what a script that picks jobs by label does: exec",
  "job-remove": "the loss of what a job said: exec",
  "job-prune": "the loss of what jobs said: exec",
  env: "LD_PRELOAD or PATH of every job of the workspace, and the values of the server's own variables: exec",
  cd: "the directory in which others' programs look for their files: workspaces of one's own for whoever lacks exec",
  "workspace-remove": "another directory for others' programs: workspaces of one's own",
  wrfile: "files",
  mkdir: "files",
  mkdirs: "files",
  rm: "files",
  mv: "files",
  cp: "files",
  touch: "files",
  ls: "files",
  stat: "files",
  find: "files",
  rdfile: "files",
  df: "files",
  which: "files",
  cwd: "nobody",
  "workspace-list": "nobody",
  jobs: "nobody",
  wait: "nobody",
  result: "nobody",
  "is-alive": "nobody",
  "job-show": "nobody",
  "job-changes": "nobody",
  ps: "nobody",
  "os-info": "nobody",
  "user-name": "nobody",
  commands: "nobody",
  ping: "nobody",
  reboot: "the end of everything that runs: power",
  shutdown: "the end of everything that runs: power",
  sleep: "the end of everything that runs, for a while: power",
  "close-server": "the end of the server, and with jobs of what one may see: control",
};

/** Something that each command could do, if it were let. */
const INPUTS: Readonly<Record<string, object>> = {
  exec: { argv: ["touch", "made"] },
  kill: { job: "1" },
  "module-put": { hash: "0".repeat(64), bytes: 1 },
  "task-start": { name: "made", module: "0".repeat(64) },
  "task-exec": { task: "made", execution: crypto.randomUUID() },
  "task-await": { task: "made", execution: crypto.randomUUID() },
  "task-stop": { task: "made" },
  "task-restart": { task: "made" },
  "send-input": { job: "1", text: "touch made\n", writer: crypto.randomUUID(), offset: 0 },
  "job-label": { job: "1", set: { a: "b" } },
  "job-remove": { jobs: ["1"] },
  "job-prune": { filter: {} },
  env: { set: { LD_PRELOAD: "/tmp/evil.so" } },
  cd: { path: "/tmp" },
  "workspace-remove": { names: ["default"] },
  wrfile: { path: "made" },
  mkdir: { paths: ["made"] },
  mkdirs: { paths: ["made"] },
  rm: { paths: ["."], recursive: true },
  mv: { sources: ["farhandd.toml"], target: "made" },
  cp: { sources: ["farhandd.toml"], target: "made" },
  touch: { paths: ["made"] },
};

test("Every command is known for what it can lead to", () => {
  expect(Object.keys(LEADS_TO).sort()).toEqual(
    listCommands()
      .map(({ name }) => name)
      .sort(),
  );
});

describe("A viewer", () => {
  test("is refused every command that writes, runs or ends something, by the permission that it takes, and nothing is done", async () => {
    await using callers = await openCallers("");
    const { world } = callers;
    const running = await world.detach("--open-stdin", "--", "cat");
    const viewer = await callers.open(await callers.createToken("watcher", "viewer"));
    for (const command of listCommands()) {
      const { name, kind, permission } = command;
      // What a machine cannot do is unknown to everybody on it.
      if (permission === "read" || "ability" in command) continue;
      for (const spelling of new Set([name, name.replaceAll("-", "_")])) {
        const input = INPUTS[name] ?? {};
        const asked =
          kind === "background"
            ? viewer.start({ command: spelling, input, job: createJobId() })
            : viewer.call(spelling, input);
        expect(await refusalOf(asked)).toBe(
          `forbidden: Cannot call "${name}": you lack the permission "${permission}"`,
        );
      }
    }
    for (const spelling of ["EXEC", "exec ", "exec/", "%65xec", "constructor", "__proto__", "--exec"])
      expect(await refusalOf(viewer.call(spelling, INPUTS["exec"]))).toStartWith("unknown_command: ");
    expect(existsSync(join(world.home, "made"))).toBe(false);
    expect(await world.job(running)).toMatchObject({ state: "running" });
    expect(await world.status()).toMatchObject({ jobs: { running: 1 } });
    expect(await viewer.call("ping", {})).toBeDefined();
  });

  test("can neither ask how the server stands nor stop it, by HTTP either, and neither can a narrowed admin", async () => {
    await using callers = await openCallers("");
    const { url, token: local } = callers.world.local();
    const viewer = await callers.createToken("watcher", "viewer");
    const narrowed = await callers.narrow(local, "--only", "exec");
    const ask = async (token: string, method: string, path: string) => {
      const headers = { authorization: `Bearer ${token}` };
      const answer = await fetch(`${url}${path}`, {
        method,
        headers,
        ...(method === "POST" && { body: "{}" }),
      });
      return [answer.status, ((await answer.json()) as { message?: string }).message];
    };
    expect(await ask(viewer, "GET", "/v1/status")).toEqual([
      403,
      'Cannot tell how the server stands: you lack the permission "control"',
    ]);
    expect(await ask(viewer, "POST", "/v1/stop")).toEqual([
      403,
      'Cannot stop the server: you lack the permission "control"',
    ]);
    for (const [method, path] of [
      ["GET", "/v1/status"],
      ["POST", "/v1/stop"],
    ] as const)
      expect(await ask(narrowed, method, path)).toEqual([
        403,
        expect.stringContaining("narrowed to other commands"),
      ]);
    expect((await ask(local, "GET", "/v1/status"))[0]).toBe(200);
  });

  test("keeps nobody waiting and types to nobody: he may read his user's jobs, but neither hold, feed nor resize one", async () => {
    await using callers = await openCallers("");
    const owner = await callers.open(await callers.createToken("alice", "operator"));
    const viewer = await callers.open(await callers.createToken("alice", "viewer"));
    const job = await start(owner, ["sh", "-c", "stty size; read line; stty size; echo got $line"], {
      terminal: { columns: 80, rows: 24, term: "xterm" },
    });
    expect(await readOf(viewer, job)).toBeDefined();
    const held = viewer.openOutput(job, { type: "since", number: 0 }, createHolderId());
    const refused = async () => {
      for await (const _ of held);
    };
    expect(await refusalOf(refused())).toBe(
      `forbidden: Cannot hold job ${job}: you lack the permission "exec"`,
    );
    viewer.resize(job, { columns: 11, rows: 11 });
    expect(await typeTo(viewer, job)).toBe(false);
    await owner.call("send-input", {
      ...{ job, text: "good\n", writer: crypto.randomUUID(), offset: 0 },
    });
    await owner.call("wait", { job });
    const { stdout } = await callers.world.farhand(["follow", job]);
    expect(stdout.replaceAll("\r", "")).toBe("24 80\ngood\n24 80\ngot good\n");
  });
});

describe("Jobs of others", () => {
  test("are answered as those that there are not, by every command and channel that takes one", async () => {
    await using callers = await openCallers('[roles.own]\npermissions = ["read", "exec"]\n');
    const alice = await callers.open(await callers.createToken("alice", "own"));
    const bob = await callers.open(await callers.createToken("bob", "own"));
    const job = await start(alice, ["cat"], { stdin: true, labels: { team: "a" }, key: "nightly" });
    const ended = await start(alice, ["true"]);
    await alice.call("wait", { job: ended });
    const absent = createJobId();
    const { number } = (await alice.call("job-show", { job })) as { number: number };
    /** What a reference is answered, with the reference itself taken out. */
    const answerTo = async (ref: string, ask: (ref: string) => Promise<unknown>) =>
      (await refusalOf(ask(ref))).replaceAll(ref, "REF");
    const asks: ((ref: string) => Promise<unknown>)[] = [
      (ref) => bob.call("jobs", { refs: [ref] }),
      (ref) => bob.call("wait", { job: ref }),
      (ref) => bob.call("result", { job: ref }),
      (ref) => bob.call("is-alive", { job: ref }),
      (ref) => bob.call("job-show", { job: ref }),
      (ref) => bob.call("job-label", { job: ref, set: { a: "b" } }),
      (ref) => bob.call("job-remove", { jobs: [ref] }),
      (ref) => bob.call("kill", { job: ref }),
      (ref) => bob.call("send-input", { job: ref, text: "x", writer: crypto.randomUUID(), offset: 0 }),
    ];
    for (const [index, ask] of asks.entries()) {
      const expected = await answerTo(absent, ask);
      for (const ref of [job, ended, job.slice(0, 23), String(number), "@last"])
        expect([index, await answerTo(ref, ask)]).toEqual([index, expected]);
    }
    const drain = async (id: JobId, holder?: ReturnType<typeof createHolderId>) => {
      for await (const _ of bob.openOutput(id, { type: "since", number: 0 }, holder));
    };
    const channels: ((id: JobId) => Promise<unknown>)[] = [
      (id) => drain(id),
      (id) => drain(id, createHolderId()),
    ];
    for (const ask of channels) {
      const expected = await answerTo(absent, (id) => ask(id as JobId));
      for (const id of [job, ended]) expect(await answerTo(id, (id) => ask(id as JobId))).toBe(expected);
    }
    expect([await typeTo(bob, absent), await typeTo(bob, job)]).toEqual([false, false]);
    expect(await bob.call("jobs", {})).toMatchObject({ jobs: [], more: false });
    expect(await bob.call("job-prune", { filter: {} })).toMatchObject({ removed: [], more: false });
    bob.resize(job, { columns: 5, rows: 5 });
    // A key is its owner's own, and an id that is taken starts nothing and tells nothing.
    const mine = await start(bob, ["true"], { key: "nightly" });
    expect(mine).not.toBe(job);
    const taken = await refusalOf(bob.start({ command: "exec", input: { argv: ["touch", "made"] }, job }));
    expect(taken).toBe(`already_exists: Cannot start job ${job}: there is one of that id`);
    expect(existsSync(join(callers.world.home, "made"))).toBe(false);
    expect(await alice.call("jobs", {})).toMatchObject({
      jobs: [{ id: ended }, { id: job, state: "running" }],
    });
  });

  test("are neither told of by job-changes, also when they are removed, nor marked by ps", async () => {
    await using callers = await openCallers('[roles.own]\npermissions = ["read", "exec"]\n');
    const alice = await callers.open(await callers.createToken("alice", "own"));
    const bob = await callers.open(await callers.createToken("bob", "own"));
    const { cursor } = (await bob.call("job-changes", {})) as { cursor: string };
    const told = bob.call("job-changes", { cursor });
    const [running, ended] = [await start(alice, ["sleep", "1000"]), await start(alice, ["true"])];
    await alice.call("wait", { job: ended });
    await alice.call("job-remove", { jobs: [ended] });
    const seen = (session: Session) => session.open("ps", {}, { says: true });
    const marks = async (session: Session) => {
      const { output, answer } = seen(session);
      const found: string[] = [];
      for await (const packet of output ?? [])
        if (packet.type === "value") found.push(JSON.stringify(packet.value));
      await answer;
      return found.filter((line) => line.includes(running)).length;
    };
    expect([await marks(alice), await marks(bob)]).toEqual([1, 0]);
    const own = await start(bob, ["true"]);
    const changes = (await told) as { changed: { job: { id: string } }[]; removed: string[] };
    expect([changes.changed.map(({ job }) => job.id), changes.removed]).toEqual([[own], []]);
  });

  test("go on when somebody stops the server with his own", async () => {
    await using callers = await openCallers('[roles.stopper]\npermissions = ["read", "exec", "control"]\n');
    const alice = await callers.open(await callers.createToken("alice", "stopper"));
    const bob = await callers.open(await callers.createToken("bob", "stopper"));
    const [hers, his] = [await start(alice, ["sleep", "1000"]), await start(bob, ["sleep", "1000"])];
    expect(await bob.call("close-server", { jobs: { grace: 1_000 } })).toEqual({ ended: 1, left: [] });
    await eventually(async () => (await callers.world.farhandd(["status"])).code === 3);
    await callers.world.start();
    expect(await callers.world.job(hers)).toMatchObject({ state: "running" });
    expect(await callers.world.job(his)).toMatchObject({ outcome: { type: "cancelled", by: "bob" } });
  });
});

test("A call that starts no job keeps nobody waiting for one, whatever id it carries", async () => {
  await using callers = await openCallers(
    '[roles.files]\npermissions = ["read", "write"]\nroots = ["/tmp"]\n',
  );
  const { world } = callers;
  const alice = await callers.open(await callers.createToken("alice", "files"));
  // It waits for bytes, which never come.
  const job = createJobId();
  const path = join(realpathSync(world.home), "new");
  alice.start({ command: "wrfile", input: { path }, job }).catch(() => {});
  await eventually(() => readdirSync(world.home).some((name) => name.startsWith(".farhand-")));
  const running = await world.detach("--", "sleep", "1000");
  expect(await world.job("@last")).toMatchObject({ id: running });
  expect((await world.farhand(["kill", job])).stderr).toContain("Cannot find job");
  expect(await world.farhandd(["stop", "--jobs"])).toMatchObject({ code: 0 });
});

test("Who acknowledges nothing in many sessions loses some of them, before what is kept for him grows beyond measure", async () => {
  await using callers = await openCallers("");
  const target = { url: callers.world.local().url, token: await callers.createToken("bob", "viewer") };
  const alice = await callers.open(await callers.createToken("alice", "viewer"));
  const ended: string[] = [];
  for (let opened = 0; ended.length === 0; opened++) {
    expect(opened).toBeLessThan(40);
    const client = await RawClient.open(target);
    client.ended.then((end) => ended.push(JSON.stringify(end)));
    // Less than one session may have.
    for (let call = 1; call <= 120; call++) client.call(call, "commands");
    for (let call = 1; call <= 120; call++) await client.control("result").catch(() => {});
  }
  expect(ended[0]).toContain("for one user");
  expect(await alice.call("commands", {})).toBeDefined();
});

test("Who reads a job is taken down, also if he called something under its id before", async () => {
  await using callers = await openCallers("");
  const owner = await callers.open(await callers.createToken("alice", "operator"));
  const viewer = await callers.open(await callers.createToken("alice", "viewer"));
  const job = await start(owner, ["echo", "said"]);
  await owner.call("wait", { job });
  await viewer.start({ command: "ping", input: {}, job }).catch(() => {});
  await viewer.start({ command: "exec", input: { argv: ["true"] }, job }).catch(() => {});
  expect(await readOf(viewer, job)).toBeDefined();
  const { stdout } = await callers.world.farhandd(["audit", "show", "--event", "attached", "--json"]);
  expect(JSON.parse(stdout)).toMatchObject({ access: "read", job, user: "alice" });
});

test("What ran under a key in one role is not taken for what it would have been in another of the same user", async () => {
  await using callers = await openCallers(
    '[roles.bound]\npermissions = ["read", "exec"]\nenvironment = []\n',
  );
  const bound = await callers.open(await callers.createToken("alice", "bound"));
  const operator = await callers.open(await callers.createToken("alice", "operator"));
  const job = await start(bound, ["true"], { key: "deploy" });
  expect(await refusalOf(start(operator, ["true"], { key: "deploy" }))).toContain(
    'key_conflict: Cannot start a job under key "deploy": job 1 has it, and was started in role "bound", not "operator"',
  );
  const again = await callers.open(await callers.createToken("alice", "bound"));
  expect(await start(again, ["true"], { key: "deploy" })).toBe(job);
});

describe("A role", () => {
  test("bounds directories, variables, terms and jobs at once, and an operator is bound by nothing", async () => {
    const root = "/tmp";
    await using callers = await openCallers(
      `[roles.bound]\npermissions = ["read", "exec"]\nroots = ["${root}"]\nenvironment = ["LANG", "DEPLOY_*"]\n` +
        'limits = { jobs = 2, output = "1MiB", time = "30m" }\n',
    );
    const { world } = callers;
    const token = await callers.createToken("alice", "bound");
    const bound = await callers.open(token);
    const base = realpathSync(world.home);
    mkdirSync(join(base, "in"));
    symlinkSync("/", join(base, "in/out"));
    const run = (input: object) => start(bound, ["true"], { cwd: base, ...input });
    expect(await refusalOf(run({ cwd: "/" }))).toContain('in "/": it is outside of what you may use');
    expect(await refusalOf(run({ cwd: `${base}/in/out` }))).toContain(
      'in/out": it is outside of what you may use',
    );
    for (const name of ["LD_PRELOAD", "PATH", "BUN_OPTIONS", "GIT_SSH_COMMAND"]) {
      expect(await refusalOf(run({ env: { [name]: "x" } }))).toContain(`does not let you set "${name}"`);
      const set = bound.call("env", { set: { [name]: "x" } });
      expect(await refusalOf(set)).toBe(
        `forbidden: Cannot change the workspace: role "bound" does not let you set "${name}"`,
      );
    }
    expect(await refusalOf(bound.call("env", { unset: ["PATH"] }))).toContain('does not let you set "PATH"');
    await bound.call("env", { set: { DEPLOY_TO: "here" } });
    expect(await refusalOf(run({ limits: { execMs: 1_800_001 } }))).toContain("--max-exec-time up to 30 m");
    const job = await run({ env: { LANG: "C" } });
    expect(await world.job(job)).toMatchObject({
      cwd: base,
      limits: { execMs: 1_800_000, outputBytes: 1024 ** 2 },
    });
    await bound.call("wait", { job });
    const attached = await callers.farhandAs(token, ["exec", "--cwd", base, "--", "echo", "in"]);
    expect(attached).toMatchObject({ code: 0, stdout: "in\n", stderr: "" });
    const many = await Promise.allSettled(
      Array.from({ length: 20 }, () => start(bound, ["sleep", "1000"], { cwd: base })),
    );
    expect(many.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
    expect(await refusalOf(run({}))).toBe(
      'too_many: Cannot start another job: role "bound" lets you have 2 at once; end one, or wait for one to end',
    );
    await callers.restart();
    const again = await callers.open(await callers.createToken("alice", "bound"));
    expect(await refusalOf(start(again, ["true"], { cwd: base }))).toStartWith("too_many");
    const operator = await callers.open(await callers.createToken("alice", "operator"));
    await start(operator, ["true"], { cwd: "/", env: { LD_PRELOAD: "" } });
    const { jobs } = (await again.call("jobs", { filter: { states: ["running"], command: "sleep" } })) as {
      jobs: { id: string }[];
    };
    await Promise.all(jobs.map(({ id }) => again.call("kill", { job: id })));
    await start(again, ["true"], { cwd: base });
  });

  test("that is changed while the server runs is so at once, also for who is connected, and others are not disturbed", async () => {
    const roles = (permissions: string) =>
      `[roles.some]\npermissions = ${permissions}\n[roles.own]\npermissions = ["read"]\n`;
    await using callers = await openCallers(roles('["read", "exec"]'));
    const token = await callers.createToken("alice", "some");
    const [alice, bob] = [
      await callers.open(token),
      await callers.open(await callers.createToken("bob", "own")),
    ];
    const running = await start(alice, ["sleep", "1000"]);
    const waiting = refusalOf(alice.call("wait", { job: running }));
    const other = bob.call("job-changes", {
      cursor: ((await bob.call("job-changes", {})) as { cursor: string }).cursor,
    });
    await callers.reload(roles('["read"]'));
    expect(await waiting).toContain("unauthenticated");
    const again = await callers.open(token);
    expect(await refusalOf(start(again, ["true"]))).toContain('you lack the permission "exec"');
    expect(await Promise.race([other, bob.call("ping", {}).then(() => "undisturbed")])).toBe("undisturbed");
    other.catch(() => {}); // it ends with its session
    expect(await callers.world.job(running)).toMatchObject({ state: "running" });
  });

  test("of another server has no say here, and one without it may do nothing", async () => {
    await using callers = await openCallers(
      '[roles.db]\npermissions = ["read", "exec"]\nhosts = ["no-such-*"]\n',
    );
    const session = await callers.open(await callers.createToken("alice", "db"));
    expect(await refusalOf(session.call("ping", {}))).toBe(
      'forbidden: Cannot call "ping": you lack the permission "read"',
    );
    const { stdout } = await callers.world.farhandd([
      "role",
      "show",
      "db",
      "--config",
      join(callers.world.home, "farhandd.toml"),
    ]);
    expect(stdout).toBe("role db: counts on other servers only (no-such-*)\n  no command\n");
  });

  test("does not let its bearer tell shells that were started in another what to do, nor choose what they start with", async () => {
    await using callers = await openCallers(
      '[roles.feeder]\npermissions = ["read", "exec", "write"]\ncommands = ["send-input", "kill", "env", "cd", "cwd", "jobs", "job-*"]\n',
    );
    const owner = await callers.open(await callers.createToken("alice", "operator"));
    const feeder = await callers.open(await callers.createToken("alice", "feeder"));
    const job = await start(owner, ["cat"], { stdin: true });
    const send = { job, text: "touch made\n", writer: crypto.randomUUID(), offset: 0 };
    expect(await refusalOf(feeder.call("send-input", send))).toContain(
      'it was started in role "operator", which you do not have',
    );
    expect(await typeTo(feeder, job)).toBe(false);
    await feeder.call("env", { set: { LD_PRELOAD: "/tmp/evil.so" } });
    const shown = (await owner.call("env", {})) as { variables: Record<string, string> };
    expect(shown.variables["LD_PRELOAD"]).toBeUndefined();
    expect(
      await refusalOf(feeder.start({ command: "exec", input: { argv: ["true"] }, job: createJobId() })),
    ).toBe('forbidden: Cannot call "exec": your roles grant the permission "exec" for other commands only');
    await feeder.call("kill", { job });
  });
});
