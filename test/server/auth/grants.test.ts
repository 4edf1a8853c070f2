import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Program } from "../../../src/commands/define.ts";
import { listCommands } from "../../../src/commands/index.ts";
import { toPublicKey } from "../../../src/lib/ed25519.ts";
import { AppError } from "../../../src/protocol/error.ts";
import type { Restriction } from "../../../src/protocol/restriction.ts";
import { createToken, findChain, formatToken, narrowToken, findToken } from "../../../src/protocol/token.ts";
import { Grants } from "../../../src/server/auth/grants.ts";
import { ADMIN, OPERATOR, type Role, VIEWER } from "../../../src/server/auth/role.ts";
import { createRole } from "../../support/identity.ts";

const EXEC = { name: "exec", permission: "exec" } as const;
const INHERITED = { PATH: "/usr/bin", HOME: "/root" };

function createProgram(said: Partial<Program> = {}): Program {
  return {
    argv: ["git", "fetch", "origin"],
    cwd: "/srv",
    env: INHERITED,
    stdin: false,
    merge: false,
    keepBytes: undefined,
    terms: {},
    ...said,
  };
}

/** Admits a program in the first of these roles. */
function admit(said: Partial<Program>, role: Role = ADMIN, ...restrictions: readonly Restriction[]): Program {
  return new Grants([role], restrictions).admit(role, createProgram(said), () => INHERITED);
}

describe("A command", () => {
  test("is allowed by the first role that grants its permission and names it, which says how it is done", () => {
    const [some, all] = [
      createRole({ name: "some", commands: ["job-*", "exec"] }),
      createRole({ name: "all" }),
    ];
    const grants = new Grants([VIEWER, some, all]);
    expect(grants.demandCommand(EXEC).name).toBe("some");
    expect(grants.demandCommand({ name: "kill", permission: "exec" }).name).toBe("all");
    expect(grants.demandCommand({ name: "ping", permission: "read" }).name).toBe("viewer");
  });

  test.each([
    [[VIEWER], 'Cannot call "exec": you lack the permission "exec"'],
    [[], 'Cannot call "exec": you lack the permission "exec"'],
    [
      [createRole({ commands: ["kill"] })],
      'Cannot call "exec": your roles grant the permission "exec" for other commands only',
    ],
  ])("is refused by the permission that it takes", (roles, message) => {
    expect(() => new Grants(roles).demandCommand(EXEC)).toThrow(
      expect.objectContaining({
        code: "forbidden",
        message,
        details: expect.objectContaining({ permission: "exec" }),
      }),
    );
  });

  test("of a narrowed token must be meant by every link; what looks after a job goes with exec", () => {
    const grants = new Grants([ADMIN], [{ commands: ["exec", "ping"] }, { commands: ["e*"] }]);
    expect(grants.demandCommand(EXEC)).toBe(ADMIN);
    for (const name of ["kill", "wait", "jobs", "send-input"])
      expect(grants.allows({ name, permission: "exec" })).toBe(true);
    for (const name of ["ping", "rdfile", "job-remove", "close-server"])
      expect(grants.allows({ name, permission: "read" })).toBe(false);
  });
});

describe("Whoever may run what he likes", () => {
  test.each<[string, Role, Restriction[], boolean]>([
    ["an admin", ADMIN, [], true],
    ["an operator", OPERATOR, [], true],
    ["a viewer", VIEWER, [], false],
    ["whose role names exec", createRole({ commands: ["exec"] }), [], true],
    ["whose role names other commands", createRole({ commands: ["kill", "ls"] }), [], false],
    ["whose token ends soon", ADMIN, [{ uses: 1, expires: 1 }], true],
    ["whose token has roots", ADMIN, [{ roots: ["/srv"] }], true],
    ["whose token is for some programs", ADMIN, [{}, { argv: [["git", "**"]] }], false],
    ["whose token is for other commands", ADMIN, [{ commands: ["rdfile"] }], false],
  ])("is free: %s", (_, role, restrictions, expected) => {
    expect(new Grants([role], restrictions).freeRole !== undefined).toBe(expected);
  });
});

describe("A program", () => {
  test.each<[string, Partial<Program>, Restriction]>([
    ["another", { argv: ["sh", "-c", "git fetch origin"] }, { argv: [["git", "fetch", "*"]] }],
    [
      "the login shell",
      { argv: ["git", "fetch", "origin"], file: "/bin/sh" },
      { argv: [["git", "fetch", "*"]] },
    ],
    ["with an option", { argv: ["git", "fetch", "--upload-pack=x"] }, { argv: [["git", "fetch", "*"]] }],
    ["with PATH", { env: { ...INHERITED, PATH: "/tmp" } }, { argv: [["git", "fetch", "*"]] }],
    ["without PATH", { env: { HOME: "/root" } }, { argv: [["git", "fetch", "*"]] }],
    ["with LD_PRELOAD", { env: { ...INHERITED, LD_PRELOAD: "/tmp/x" } }, { argv: [["git", "fetch", "*"]] }],
    ["with a variable of others", { env: { ...INHERITED, B: "" } }, { environment: ["A"] }],
  ])("%s is refused whose token was narrowed", (_, said, restriction) => {
    expect(() => admit(said, ADMIN, restriction)).toThrow(expect.objectContaining({ code: "forbidden" }));
  });

  test("is run that one pattern of each link means, with the variables that the same links let it set", () => {
    const [git, any] = [[["ls"], ["git", "fetch", "*"]], [["git", "**"]]];
    expect(admit({}, ADMIN, { argv: git }, { argv: any })).toEqual(createProgram());
    expect(() => admit({}, ADMIN, { argv: git }, { argv: [["ls"]] })).toThrow("other programs");
    const env = { ...INHERITED, LANG: "C" };
    expect(admit({ env }, ADMIN, { argv: git, environment: ["LANG", "LC_*"] }).env).toEqual(env);
    expect(() => admit({ env }, ADMIN, { argv: git }, { environment: ["*"] })).toThrow('may not set "LANG"');
    const terminal = { columns: 80, rows: 24, term: "xterm" };
    const typed = { env: { ...INHERITED, TERM: "xterm" }, terms: { terminal } };
    expect(admit(typed, ADMIN, { environment: ["LANG"] }).env).toEqual(typed.env);
    expect(() => admit(typed, ADMIN, { argv: git })).toThrow("which get no terminal");
  });

  test("has no variables but its workspace's and those that the role names", () => {
    const role = createRole({ environment: ["LANG", "DEPLOY_*"] });
    const env = { ...INHERITED, DEPLOY_TO: "x" };
    expect(admit({ env }, role).env).toEqual(env);
    for (const name of ["LD_PRELOAD", "PATH", "BUN_OPTIONS", "GIT_SSH_COMMAND", "lang", "__proto__"]) {
      const env = Object.fromEntries([...Object.entries(INHERITED), [name, "x"]]);
      expect(() => admit({ env }, role)).toThrow(`role "tested" does not let you set "${name}"`);
    }
  });

  test("may set so many variables with a narrowed token that to compare them takes a moment", () => {
    const limited = { environment: [`*${"a".repeat(4_000)}b`, "L*"] };
    const set = (names: readonly string[]) =>
      admit(
        { env: { ...INHERITED, ...Object.fromEntries(names.map((name) => [name, "x"])) } },
        ADMIN,
        limited,
      );
    const began = performance.now();
    expect(() => set(Array.from({ length: 4_000 }, (_, n) => `${"a".repeat(200)}${n}`))).toThrow(
      "at most 128",
    );
    expect(() => set([`L${"a".repeat(200_000)}`])).toThrow("may not set");
    expect(Object.keys(set(["LANG"]).env)).toHaveLength(3);
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  test("has the limits of its role unless it asks for less; it may not ask for more", () => {
    const limits = { outputBytes: 1024, time: 60_000, memoryBytes: 4096, processes: 8 };
    const role = createRole({ limits });
    const most = { execMs: 60_000, outputBytes: 1024, memoryBytes: 4096, processes: 8 };
    expect(admit({}, role).terms.limits).toEqual(most);
    expect(admit({ terms: { limits: { execMs: 5, idleMs: 7 } } }, role).terms.limits).toEqual({
      ...most,
      execMs: 5,
      idleMs: 7,
    });
    expect(() => admit({ terms: { limits: { execMs: 60_001 } } }, role)).toThrow(
      'role "tested" allows --max-exec-time up to 1 m',
    );
    for (const limit of ["outputBytes", "memoryBytes", "processes"])
      expect(() => admit({ terms: { limits: { [limit]: 1e9 } } }, role)).toThrow("allows --max-");
    // Nor to be ended so late that the limit would be none.
    expect(() => admit({ terms: { limits: { graceMs: 5_001 } } }, role)).toThrow("allows --grace up to 5 s");
    expect(admit({ terms: { limits: { graceMs: 5_000 } } }, role).terms.limits?.graceMs).toBe(5_000);
    expect(admit({ terms: { limits: { graceMs: 60_000 } } }, ADMIN).terms.limits?.graceMs).toBe(60_000);
    expect(admit({}, ADMIN)).toEqual(createProgram());
  });

  test("of somebody who runs it as another may not go before others", () => {
    const role = createRole({ runAs: "nobody" });
    expect(admit({ terms: { limits: { nice: 5 } } }, role).terms.limits).toEqual({ nice: 5 });
    expect(() => admit({ terms: { limits: { nice: -1 } } }, role)).toThrow("--nice from 0 on");
    expect(admit({ terms: { limits: { nice: -1 } } }, ADMIN).terms.limits).toEqual({ nice: -1 });
  });
});

test("Input may be given to a job that runs as its giver could: in a role of his, or in any where he is free as the server is", () => {
  const deploy = createRole({ name: "deploy", runAs: "nobody" });
  const feeder = createRole({ name: "feeder", commands: ["send-input"] });
  const feeds = (roles: Role[], role: string | undefined) => new Grants(roles).mayFeed(role);
  for (const role of ["admin", "deploy", undefined]) expect(feeds([deploy, OPERATOR], role)).toBe(true);
  expect([feeds([deploy], "deploy"), feeds([deploy], "admin"), feeds([deploy], undefined)]).toEqual([
    true,
    false,
    false,
  ]);
  expect([feeds([feeder], "admin"), feeds([VIEWER], "admin"), feeds([], undefined)]).toEqual([
    false,
    false,
    false,
  ]);
});

test("Files are reached everywhere only by who may run what he likes, and nowhere by who may not and has no roots", () => {
  const reach = (role: Role, ...restrictions: Restriction[]) =>
    new Grants([role, ADMIN], restrictions).reachOf(role);
  const reader = createRole({ permissions: new Set(["read"]) });
  expect(reach(ADMIN)).toBeUndefined();
  expect(reach(ADMIN, { uses: 1 }, { commands: ["exec", "ls"] })).toBeUndefined();
  expect([reach(reader), reach(VIEWER), reach(createRole({ commands: ["ls"] }))]).toEqual([[[]], [[]], [[]]]);
  expect([reach(ADMIN, { commands: ["ls"] }), reach(ADMIN, { argv: [["git", "**"]] })]).toEqual([[[]], [[]]]);
  expect(reach(createRole({ roots: ["/srv"] }), { commands: ["ls"] }, { roots: ["/srv/a"] })).toEqual([
    ["/srv"],
    ["/srv/a"],
  ]);
});

test("Roots and uses are those of all links, and the earliest end counts", () => {
  const role = createRole({ roots: ["/srv"] });
  const grants = new Grants(
    [role],
    [{ uses: 3, expires: 20 }, { roots: ["/srv/a", "/srv/b"] }, { uses: 1, expires: 10 }],
  );
  expect(grants.rootsOf(role)).toEqual([["/srv"], ["/srv/a", "/srv/b"]]);
  expect(grants.rootsOf(ADMIN)).toEqual([["/srv/a", "/srv/b"]]);
  expect([grants.homeOf(role), new Grants([role]).homeOf(role)]).toEqual([undefined, "/srv"]);
  expect(new Grants([role], [{ roots: ["/srv/a"] }]).homeOf(role)).toBe("/srv/a");
  expect([new Grants([ADMIN]).homeOf(ADMIN), new Grants([VIEWER]).homeOf(VIEWER)]).toEqual([
    undefined,
    undefined,
  ]);
  expect(grants.expires).toBe(10_000);
  expect(grants.limitedLinks(["x", "y", "z"])).toEqual([
    { link: "x", uses: 3, expires: 20_000 },
    { link: "z", uses: 1, expires: 10_000 },
  ]);
  expect(new Grants([createRole({ seesAllJobs: true })], [{}]).seesAllJobs).toBe(false);
});

/** Any restriction, of few words, so that they often meet. */
const restriction: fc.Arbitrary<Restriction> = fc.record(
  {
    commands: fc.uniqueArray(fc.constantFrom("exec", "e*", "ls", "*", "kill"), { minLength: 1 }),
    argv: fc.array(
      fc.array(fc.constantFrom("git", "fetch", "*", "-x", "**"), { minLength: 1, maxLength: 3 }),
      {
        minLength: 1,
        maxLength: 2,
      },
    ),
    environment: fc.uniqueArray(fc.constantFrom("LANG", "*", "L*"), { minLength: 1 }),
    roots: fc.uniqueArray(fc.constantFrom("/srv", "/srv/a", "/"), { minLength: 1 }),
    uses: fc.integer({ min: 1, max: 9 }),
    expires: fc.integer({ min: 1, max: 9 }),
  },
  { requiredKeys: [] },
);
const program = fc
  .record({
    argv: fc.array(fc.constantFrom("git", "fetch", "-x", "origin"), { minLength: 1, maxLength: 3 }),
    env: fc.constantFrom<Program["env"]>(
      INHERITED,
      { ...INHERITED, LANG: "C" },
      { ...INHERITED, PATH: "/tmp" },
    ),
  })
  .map(createProgram);

/** Whether a token with these links may do something. */
function may(restrictions: readonly Restriction[], act: (grants: Grants) => unknown): boolean {
  try {
    act(new Grants([ADMIN, VIEWER], restrictions));
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code === "forbidden") return false;
    throw error;
  }
}

describe("A chain of links", () => {
  test("never allows what the chain before its last link forbids", () => {
    fc.assert(
      fc.property(fc.array(restriction, { maxLength: 4 }), restriction, program, (chain, last, program) => {
        const longer = [...chain, last];
        const acts: ((grants: Grants) => unknown)[] = [
          ...listCommands().map((command) => (grants: Grants) => grants.demandCommand(command)),
          (grants) => grants.admit(ADMIN, program, () => INHERITED),
          (grants) => grants.demandVariables(ADMIN, ["LANG"], "x"),
        ];
        for (const act of acts) if (may(longer, act)) expect(may(chain, act)).toBe(true);
        const [before, after] = [new Grants([ADMIN], chain), new Grants([ADMIN], longer)];
        expect(after.rootsOf(ADMIN).slice(0, before.rootsOf(ADMIN).length)).toEqual([
          ...before.rootsOf(ADMIN),
        ]);
        expect(after.expires ?? Infinity).toBeLessThanOrEqual(before.expires ?? Infinity);
        const names = longer.map((_, index) => String(index));
        expect(after.limitedLinks(names)).toEqual(expect.arrayContaining([...before.limitedLinks(names)]));
        expect(after.seesAllJobs).toBe(false);
        if (after.freeRole !== undefined) expect(before.freeRole).toBe(after.freeRole);
      }),
      { numRuns: 300 },
    );
  });

  test("cannot be changed, put in another order, shortened or lengthened by who does not hold its keys", () => {
    const edit = fc.oneof(
      fc.record({ type: fc.constant("drop" as const), at: fc.nat(3) }),
      fc.record({ type: fc.constant("swap" as const), at: fc.nat(3), with: fc.nat(3) }),
      fc.record({ type: fc.constant("repeat" as const), at: fc.nat(3) }),
      fc.record({ type: fc.constant("flip" as const), at: fc.nat(3), byte: fc.nat(400), bit: fc.nat(7) }),
      fc.record({ type: fc.constant("foreign" as const), at: fc.nat(3) }),
    );
    fc.assert(
      fc.property(
        fc.array(restriction, { minLength: 1, maxLength: 4 }),
        fc.array(edit, { minLength: 1, maxLength: 3 }),
        (said, edits) => {
          const root = createToken();
          const token = said.reduce(narrowToken, root);
          const stranger = said.reduce(narrowToken, createToken());
          const links: Buffer[] = token.links.map((link) => Buffer.from(link));
          for (const edit of edits) {
            const at = edit.at % Math.max(1, links.length);
            const link = links[at];
            if (link === undefined) break;
            switch (edit.type) {
              case "drop":
                links.splice(at, 1);
                break;
              case "swap": {
                const other = edit.with % links.length;
                [links[at], links[other]] = [links[other] as Buffer, link];
                break;
              }
              case "repeat":
                links.splice(at, 0, link);
                break;
              case "flip":
                link[edit.byte % link.length] = (link[edit.byte % link.length] ?? 0) ^ (1 << edit.bit);
                break;
              case "foreign":
                links[at] = stranger.links[at] ?? link;
            }
          }
          const edited = { ...token, links };
          const isSame = formatToken(edited) === formatToken(token);
          const key = toPublicKey(root.seed);
          expect(findChain(edited, key) !== undefined).toBe(isSame);
          const read = findToken(formatToken(edited));
          expect(read !== undefined && findChain(read, key) !== undefined).toBe(isSame);
        },
      ),
      { numRuns: 200 },
    );
  });
});
