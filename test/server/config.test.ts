import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { AppError } from "../../src/protocol/error.ts";
import { DEFAULT_ROLES } from "../../src/server/auth/roles.ts";
import { type ConfigFlags, readConfig } from "../../src/server/config.ts";
import { createSettings } from "../support/custom.ts";
import { openDirectory } from "../support/directory.ts";
import { createRole } from "../support/identity.ts";

const noFlags: ConfigFlags = {
  listen: [],
  state: undefined,
  config: undefined,
  logLevel: undefined,
  logFormat: undefined,
};
const home = { HOME: "/home/somebody", FARHAND_STATE: "/state" };

/** Writes a file and reads it as configuration. */
function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "farhandd.toml");
  return {
    path,
    read: (text: string | Uint8Array, flags: Partial<ConfigFlags> = {}, env = {}) => {
      writeFileSync(path, text);
      return readConfig({ ...noFlags, config: path, ...flags }, { ...home, ...env });
    },
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

/** What is thrown, which must be an `invalid_config`. */
function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof AppError && error.code === "invalid_config") return error.message;
    throw error;
  }
  throw new Error("Nothing was refused");
}

describe("readConfig()", () => {
  test("gives defaults where nothing is said", () => {
    expect(readConfig(noFlags, home)).toEqual({
      listen: undefined,
      names: [],
      tls: { cert: undefined, key: undefined, clientCa: undefined, insecure: false },
      state: "/state",
      file: undefined,
      grace: 120_000,
      logLevel: "info",
      logFormat: "text",
      retention: { age: Number.POSITIVE_INFINITY, jobs: 10_000, bytes: undefined },
      audit: { keep: Number.POSITIVE_INFINITY, onFailure: "hold" },
      auth: { tokenLifetime: 90 * 86_400_000, loginLifetime: 30 * 86_400_000, module: undefined },
      roles: DEFAULT_ROLES,
      tasks: [],
      extensions: createSettings("/state/commands"),
    });
  });

  test("reads every key of a file", () => {
    using world = setup();
    const text =
      'listen = "127.0.0.1:1"\nname = "web1.lab"\nstate = "/elsewhere"\n[tls]\ncert = "/c"\nkey = "/k"\nclient_ca = "/a"\n[session]\ngrace = "5s"\n[log]\nlevel = "debug"\nformat = "json"\n' +
      '[retention]\nage = "30d"\njobs = 500\nbytes = "2GiB"\n[auth]\ntoken_expires = "never"\nlogin_expires = "12h"\nmodule = "auth.ts"\n[roles.looker]\npermissions = ["read"]\nroots = []\n' +
      '[audit]\nkeep = "365d"\non_failure = "refuse"\n' +
      '[commands]\ndirectory = "mine"\nfiles = ["a.ts"]\n[commands.deploy]\ntimeout = "5s"\n[extensions.shots]\nscreen = ":1"\n';
    expect(world.read(text, {}, { FARHAND_STATE: undefined })).toEqual({
      listen: [{ type: "tcp", host: "127.0.0.1", port: 1 }],
      names: ["web1.lab"],
      tls: { cert: "/c", key: "/k", clientCa: "/a", insecure: false },
      state: "/elsewhere",
      file: world.path,
      grace: 5_000,
      logLevel: "debug",
      logFormat: "json",
      retention: { age: 30 * 24 * 3_600_000, jobs: 500, bytes: 2 * 1024 ** 3 },
      audit: { keep: 365 * 24 * 3_600_000, onFailure: "refuse" },
      auth: {
        tokenLifetime: Number.POSITIVE_INFINITY,
        loginLifetime: 12 * 3_600_000,
        module: join(world.path, "../auth.ts"),
      },
      roles: new Map([
        ...DEFAULT_ROLES,
        [
          "looker",
          createRole({ name: "looker", permissions: new Set(["read"]), roots: [], seesAllJobs: false }),
        ],
      ]),
      tasks: [],
      extensions: {
        directory: join(world.path, "../mine"),
        isNamed: true,
        files: [join(world.path, "../a.ts")],
        watch: false,
        commands: {
          deploy: { permission: undefined, timeoutMs: 5_000, runAs: undefined, isInline: false },
        },
        programs: {},
        packs: { shots: { screen: ":1" } },
      },
    });
  });

  test("puts flags before the environment, and that before the file", () => {
    using world = setup();
    const text = 'state = "/file"\nlisten = "127.0.0.1:1"\nlog.level = "debug"\n';
    expect(world.read(text, {}, { FARHAND_STATE: undefined }).state).toBe("/file");
    expect(world.read(text, {}, { FARHAND_STATE: "/env" }).state).toBe("/env");
    const flags = { state: "/flag", listen: ["127.0.0.1:2"], logLevel: "error" };
    expect(world.read(text, flags, { FARHAND_STATE: "/env" })).toMatchObject({
      state: "/flag",
      listen: [{ port: 2 }],
      logLevel: "error",
    });
  });

  test("finds the file by FARHAND_CONFIG, and a flag comes before that", () => {
    using world = setup();
    world.read('log.level = "warn"\n');
    expect(readConfig(noFlags, { ...home, FARHAND_CONFIG: world.path }).logLevel).toBe("warn");
    const flags = { ...noFlags, config: world.path };
    expect(readConfig(flags, { ...home, FARHAND_CONFIG: "/missing" }).logLevel).toBe("warn");
  });

  test("takes an empty FARHAND_STATE or FARHAND_CONFIG for none", () => {
    using world = setup();
    expect(world.read('state = "/file"\n', {}, { FARHAND_STATE: "" }).state).toBe("/file");
    const unset = readConfig(noFlags, { HOME: "/home/somebody" });
    expect(readConfig(noFlags, { HOME: "/home/somebody", FARHAND_STATE: "", FARHAND_CONFIG: "" })).toEqual(
      unset,
    );
  });

  test("refuses an empty --state", () => {
    expect(refusal(() => readConfig({ ...noFlags, state: "" }, home))).toBe(
      'Cannot use --state "": name a directory',
    );
  });

  test("resolves a relative state directory", () => {
    expect(readConfig({ ...noFlags, state: "here" }, {}).state).toBe(join(process.cwd(), "here"));
  });

  test.each([
    ["an empty file", ""],
    ["comments only", "# nothing\n"],
    ["a byte order mark", '\uFEFFlog.level = "info"\n'],
    ["CRLF line ends", '[log]\r\nlevel = "info"\r\n'],
    ["no final line end", 'log.level = "info"'],
  ])("accepts %s", (_, text) => {
    using world = setup();
    expect(world.read(text).logLevel).toBe("info");
  });

  test("accepts several addresses", () => {
    using world = setup();
    expect(world.read('listen = ["127.0.0.1:1", "[::1]:2"]\n').listen).toEqual([
      { type: "tcp", host: "127.0.0.1", port: 1 },
      { type: "tcp", host: "::1", port: 2 },
    ]);
  });

  test.each([
    ['colour = "red"', '"colour": this key is unknown'],
    ['[log]\ncolour = "red"', '"log.colour": this key is unknown'],
    ["[log.deep]\ner = 1", '"log.deep": this key is unknown'],
    ['"__proto__" = 1', '"__proto__"'],
    ['state = ""', '"state": it is empty'],
    ["state = 7", '"state": expected string, found 7'],
    ["listen = 9922", '"listen": expected'],
    ["listen = []", '"listen"'],
    ["listen = [9922]", '"listen'],
    ['log = "debug"', '"log": expected'],
    ['log.level = "loud"', '"log.level": expected'],
    ["log.level = 3", '"log.level": expected'],
    ["[[log]]\nlevel = 'info'", '"log.0"'],
    ['session.grace = "5"', '"session.grace": write a number with a unit, such as 500ms, 5s, 2m, 1h or 7d'],
    ["session.grace = 5", '"session.grace": expected string, found 5'],
    ["retention = 7", '"retention": expected'],
    ["retention.days = 7", '"retention.days": this key is unknown'],
    ["retention.age = 7", '"retention.age": expected string, found 7'],
    ['retention.age = "7"', '"retention.age": write a number with a unit, such as 500ms'],
    ['retention.bytes = "7GB"', '"retention.bytes": write a number with a unit, such as 64KiB'],
    ["retention.bytes = 7", '"retention.bytes": expected string, found 7'],
    ["retention.jobs = 0", '"retention.jobs": write a whole number from 1 on, or all'],
    ["retention.jobs = 1.5", '"retention.jobs": write a whole number'],
    ["retention.jobs = -1", '"retention.jobs": write a whole number'],
    ["retention.jobs = [1]", '"retention.jobs": expected'],
    ["roles = 7", '"roles": expected'],
    ["roles.r.colour = 1", '"roles.r.colour": this key is unknown'],
    ['roles.r.permissions = ["sudo"]', '"roles.r.permissions.0": expected'],
    ['roles.r.commands = ["exec"]', '"roles.r.permissions": say which: read, write, exec'],
    ["roles.r.limits.jobs = 0", '"roles.r.limits.jobs": write a whole number from 1 on'],
    ['roles.r.limits.time = "0s"', '"roles.r.limits.time": a limit is more than nothing'],
    ['roles.r.limits.output = "much"', '"roles.r.limits.output": write a number with a unit'],
    ['listen = "unix:"', "name a path"],
    ['name = "web1:9922"', 'Cannot use the name "web1:9922": write a host\'s name or an address'],
    ['tls = "cert.pem"', '"tls": expected'],
    ['tls.cert = ""', '"tls.cert": it is empty'],
    ['tls.insecure = "yes"', '"tls.insecure": expected'],
    ['tls.ca = "x"', '"tls.ca": this key is unknown'],
    ['tls.cert = "x"', "Cannot use --cert alone: name its --key too"],
    ['tls.key = "x"', "Cannot use --key alone: name its --cert too"],
    [
      'tls = { insecure = true, client_ca = "x" }',
      "Cannot use --insecure with --client-ca: it means to serve without TLS",
    ],
    ['tls = { insecure = true, cert = "x", key = "y" }', "Cannot use --insecure with --cert"],
    ['listen = "nonsense:nonsense"', "write host:port"],
    ["state = ", "TOML"],
    ["state = 'a'\nstate = 'b'", "redefine"],
    ["\0", "TOML"],
  ])("refuses %j by its key", (text, why) => {
    using world = setup();
    expect(refusal(() => world.read(text))).toContain(why);
  });

  test("names the file that it refuses", () => {
    using world = setup();
    expect(refusal(() => world.read("colour = 1"))).toStartWith(
      `Cannot read configuration "${world.path}": `,
    );
  });

  test("refuses a file that is missing, a directory, or larger than 1 MiB", () => {
    using world = setup();
    expect(refusal(() => readConfig({ ...noFlags, config: world.path }, home))).toContain("ENOENT");
    expect(refusal(() => world.read(`#${"x".repeat(1024 * 1024)}`))).toContain("larger than 1 MiB");
    const directory = `${world.path}.d`;
    mkdirSync(directory);
    expect(refusal(() => readConfig({ ...noFlags, config: directory }, home))).toContain("EISDIR");
  });

  test("puts what flags say of retention before the file, and takes limits away where all is said", () => {
    using world = setup();
    const text = 'retention = { age = "all", jobs = "all", bytes = "all" }';
    const none = Number.POSITIVE_INFINITY;
    expect(world.read(text).retention).toEqual({ age: none, jobs: none, bytes: none });
    expect(world.read(text, { retention: { age: "1h", jobs: "7" } }).retention).toEqual({
      age: 3_600_000,
      jobs: 7,
      bytes: none,
    });
    expect(
      world.read('retention.age = "1d"', { retention: { age: "all", bytes: "1MiB" } }).retention,
    ).toEqual({
      age: none,
      jobs: 10_000,
      bytes: 1024 ** 2,
    });
    expect(refusal(() => readConfig({ ...noFlags, retention: { age: "soon" } }, home))).toBe(
      'Cannot use --retention-age "soon": write a number with a unit, such as 500ms, 5s, 2m, 1h or 7d, or all',
    );
  });

  test("refuses flags that are none of the choices, and names those", () => {
    expect(refusal(() => readConfig({ ...noFlags, logLevel: "loud" }, home))).toBe(
      'Cannot use --log-level "loud": choose one of error, warn, info, debug',
    );
    expect(refusal(() => readConfig({ ...noFlags, logFormat: "xml" }, home))).toBe(
      'Cannot use --log-format "xml": choose one of text, json',
    );
  });
});

test("readConfig() reads tasks as NAME=FILE, and says what is wrong with one", () => {
  const read = (...tasks: string[]) => readConfig({ ...noFlags, tasks }, home).tasks;
  expect(read("counter=/srv/counter.ts", "a.b=x=y.ts")).toEqual([
    { name: "counter", file: "/srv/counter.ts" },
    { name: "a.b", file: resolve("x=y.ts") },
  ]);
  for (const [text, why] of [
    ["counter.ts", "write NAME=FILE"],
    ["counter=", "write NAME=FILE"],
    ["=counter.ts", "is no name of a task"],
    ["Counter=counter.ts", "is no name of a task"],
  ] as const)
    expect(() => read(text)).toThrow(why);
});
