import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { MARK } from "../../../src/server/service/definition.ts";
import { defineAgent } from "../../../src/server/service/launchd.ts";
import { inspect, install, type ServiceSystem, uninstall } from "../../../src/server/service/service.ts";
import { defineUnit, quoteCommand } from "../../../src/server/service/systemd.ts";
import { defineTask, quoteArgument } from "../../../src/server/service/task.ts";
import { openDirectory } from "../../support/directory.ts";
import { testIf } from "../../support/test-if.ts";

const define = { systemd: defineUnit, launchd: defineAgent, "Task Scheduler": defineTask };

function setup(
  manager: keyof typeof define,
  { isUser = false, fails = "", argv = ["/usr/local/bin/farhandd", "serve"] as [string, ...string[]] } = {},
) {
  const directory = openDirectory();
  const definition = define[manager]({
    argv,
    reload: [argv[0], "reload"],
    isUser,
    uid: 1000,
    account: "HOST\\some <one>",
    directory: join(directory.path, "made", "on demand"),
  });
  const asked: string[] = [];
  const system = (isRunning: boolean): ServiceSystem => ({
    isRunning,
    run: (argv) => {
      asked.push(argv.join(" "));
      const isRefused = fails !== "" && argv.includes(fails);
      return {
        code: Number(isRefused),
        output: isRefused ? "a warning\nAccess denied.\n" : "enabled\nactive\n",
      };
    },
  });
  return {
    definition,
    asked,
    running: system(true),
    absent: system(false),
    write: (text: string) => {
      mkdirSync(dirname(definition.path), { recursive: true });
      writeFileSync(definition.path, text);
    },
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

describe.each(["systemd", "launchd", "Task Scheduler"] as const)("The service for %s", (manager) => {
  test("is installed whole, readable by all, and the manager told", () => {
    using world = setup(manager);
    const { definition, asked } = world;
    expect(install(definition, world.running)).toEqual({ manager, path: definition.path, byHand: [] });
    const text = readFileSync(definition.path, definition.encoding);
    expect(text.replace("\uFEFF", "")).toBe(definition.text);
    expect(statSync(definition.path).mode & 0o777).toBe(0o644);
    expect(existsSync(`${definition.path}.new`)).toBe(false);
    expect(asked).toEqual(definition.enable.map(({ argv }) => argv.join(" ")));
  });

  test("is installed over one of our own, as an upgrade is", () => {
    using world = setup(manager);
    install(world.definition, world.running);
    install(world.definition, world.running);
    expect(inspect(world.definition, world.running).installed).toBe(true);
  });

  test("names what is to be done by hand where the manager does not run, and asks nothing of it", () => {
    using world = setup(manager);
    const { byHand } = install(world.definition, world.absent);
    const required = world.definition.enable.filter(({ mayFail }) => !mayFail);
    expect(byHand).toEqual(required.map(({ argv }) => argv.join(" ")));
    expect(uninstall(world.definition, world.absent).byHand).not.toBeUndefined();
    expect(world.asked).toEqual([]);
    expect(existsSync(world.definition.path)).toBe(false);
  });

  test("is neither installed over somebody else's, nor is that removed", () => {
    using world = setup(manager);
    world.write("[Service]\nExecStart=/usr/bin/theirs\n");
    for (const change of [install, uninstall])
      expect(() => change(world.definition, world.running)).toThrow("was not written by farhandd");
    expect(readFileSync(world.definition.path, "utf8")).toContain("theirs");
    expect(inspect(world.definition, world.running)).toMatchObject({ installed: false, running: false });
    expect(world.asked).toEqual([]);
  });

  test("is removed, and then there is none to remove", () => {
    using world = setup(manager);
    install(world.definition, world.running);
    world.asked.splice(0);
    uninstall(world.definition, world.running);
    expect(existsSync(world.definition.path)).toBe(false);
    const { disable, forget } = world.definition;
    expect(world.asked).toEqual([...disable, ...forget].map(({ argv }) => argv.join(" ")));
    expect(() => uninstall(world.definition, world.running)).toThrow("there is none");
  });

  test("says what the manager says that refuses", () => {
    const [last] = define[manager]({
      argv: ["/x"],
      reload: ["/x", "reload"],
      isUser: false,
      uid: 0,
      account: "",
      directory: "/",
    }).enable.slice(-1);
    const verb = last?.argv[1] ?? "";
    using world = setup(manager, { fails: verb });
    expect(() => install(world.definition, world.running)).toThrow(/ended with 1: Access denied\.$/);
  });

  test("bears the mark by which it is known again", () => {
    using world = setup(manager);
    expect(world.definition.text).toContain(MARK);
  });
});

describe("The unit for systemd", () => {
  test("leaves keepers and jobs running when it ends, and starts again when it fails", () => {
    using world = setup("systemd");
    const lines = world.definition.text.split("\n");
    for (const line of [
      "KillMode=process",
      "Restart=on-failure",
      "OOMPolicy=continue",
      "Delegate=yes",
      "ExecStart=/usr/local/bin/farhandd serve",
      "WantedBy=multi-user.target",
      "User=root",
    ])
      expect(lines).toContain(line);
  });

  test("of a user is started by that user's manager", () => {
    using world = setup("systemd", { isUser: true });
    expect(world.definition.text).toContain("WantedBy=default.target\n");
    expect(world.definition.text).not.toContain("User=");
    expect(world.definition.enable.every(({ argv }) => argv[1] === "--user")).toBe(true);
    expect(world.definition.advice).toContain("enable-linger");
  });

  test("quotes by systemd's own rules", () => {
    expect(
      quoteCommand([
        "/a b/$x/farhandd",
        "100%",
        "$HOME",
        'say "hi"',
        "a\\b",
        "line\nbreak",
        "",
        ";",
        "[::1]:0",
      ]),
    ).toBe('"/a b/$x/farhandd" 100%% "$$HOME" "say \\"hi\\"" "a\\\\b" "line\\x0abreak" "" ";" [::1]:0');
  });

  const hasAnalyze = Bun.which("systemd-analyze") !== null;
  testIf(hasAnalyze, "there is no systemd-analyze").each([false, true])(
    "passes systemd-analyze verify (of a user: %p)",
    (isUser) => {
      const argv: [string, ...string[]] = [
        "/bin/true",
        ...["serve", "--state", '/srv/some "state" of 100% $HOME', "--listen", "[::1]:0"],
      ];
      using world = setup("systemd", { isUser, argv });
      install(world.definition, world.absent);
      const scope = isUser ? ["--user"] : [];
      const { exitCode, stderr } = Bun.spawnSync(
        ["systemd-analyze", ...scope, "verify", "--man=no", world.definition.path],
        { env: { ...process.env, XDG_RUNTIME_DIR: world.definition.path.replace(/[^/]*$/, "") } },
      );
      expect([exitCode, stderr.toString()]).toEqual([0, ""]);
    },
  );
});

describe("The property list for launchd", () => {
  test("holds each word of the command as it is", () => {
    using world = setup("launchd", { argv: ["/A & B/farhandd", "serve", "--state", '<"x">'] });
    expect(world.definition.text).toContain("<string>/A &amp; B/farhandd</string>");
    expect(world.definition.text).toContain("<string>&lt;&quot;x&quot;&gt;</string>");
    expect(world.definition.text).toMatch(/<key>AbandonProcessGroup<\/key>\s*<true\/>/);
  });

  test("belongs to the machine or to the user's own session", () => {
    using machine = setup("launchd");
    using own = setup("launchd", { isUser: true });
    const last = ({ definition }: typeof machine) => definition.enable.at(-1)?.argv.slice(0, 3).join(" ");
    expect([last(machine), last(own)]).toEqual([
      "launchctl bootstrap system",
      "launchctl bootstrap gui/1000",
    ]);
  });
});

describe("The task for Windows", () => {
  test("starts at boot as the system, or as the user logs on", () => {
    using machine = setup("Task Scheduler");
    using own = setup("Task Scheduler", { isUser: true });
    expect(machine.definition.text).toContain("<BootTrigger>");
    expect(machine.definition.text).toContain("<UserId>S-1-5-18</UserId>");
    expect(own.definition.text).toContain("<LogonTrigger>");
    expect(own.definition.text).toContain("<UserId>HOST\\some &lt;one&gt;</UserId>");
    expect(own.definition.text).toContain("<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>");
  });

  test("quotes arguments as the program reads them", () => {
    expect(["plain", "a b", "", 'say "hi"', "C:\\dir\\", "C:\\a b\\", 'a\\"b'].map(quoteArgument)).toEqual([
      "plain",
      '"a b"',
      '""',
      '"say \\"hi\\""',
      "C:\\dir\\",
      '"C:\\a b\\\\"',
      '"a\\\\\\"b"',
    ]);
  });
});
