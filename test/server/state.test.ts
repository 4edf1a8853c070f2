import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError, type ErrorCode } from "../../src/protocol/error.ts";
import { findLocalServer, leaveLocalServer, lockState, prepareState } from "../../src/server/state.ts";
import { findMountFault, mountSmall, openDirectory } from "../support/directory.ts";
import { testIf } from "../support/test-if.ts";

const local = { url: "http://127.0.0.1:9922", token: "fh_secret", pid: 4711, version: "1.2.3" };

function setup() {
  const directory = openDirectory();
  return {
    home: directory.path,
    state: join(directory.path, "state"),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

const modeOf = (path: string) => statSync(path).mode & 0o777;

function refusal(code: ErrorCode, act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof AppError && error.code === code) return error.message;
    throw error;
  }
  throw new Error("Nothing was refused");
}

describe("prepareState()", () => {
  test("makes the directory with its rooms, for this user alone", () => {
    using world = setup();
    prepareState(world.state);
    expect(readdirSync(world.state).sort()).toEqual([
      "audit",
      "keeper",
      "ledgers",
      "logs",
      "modules",
      "tasks",
      "workspaces",
    ]);
    for (const path of ["", "audit", "keeper", "ledgers", "logs"])
      expect(modeOf(join(world.state, path))).toBe(0o700);
  });

  test("makes the directories above it too", () => {
    using world = setup();
    prepareState(join(world.home, "a", "b", "state"));
    expect(existsSync(join(world.home, "a", "b", "state", "ledgers"))).toBe(true);
  });

  test("leaves what is there", () => {
    using world = setup();
    prepareState(world.state);
    writeFileSync(join(world.state, "ledgers", "kept"), "");
    prepareState(world.state);
    expect(existsSync(join(world.state, "ledgers", "kept"))).toBe(true);
  });

  test.each([0o755, 0o750, 0o701, 0o710, 0o770, 0o777, 0o704])(
    "refuses a directory of mode %o, and says what to do",
    (mode) => {
      using world = setup();
      mkdirSync(world.state);
      chmodSync(world.state, mode);
      expect(refusal("state_unusable", () => prepareState(world.state))).toBe(
        `Cannot use state directory "${world.state}": others may enter it; run chmod 700 ${world.state}`,
      );
      expect(readdirSync(world.state)).toEqual([]);
    },
  );

  test("says so in a line that a shell reads as it is meant, whatever the directory is called", () => {
    using world = setup();
    const odd = join(world.home, "it's $HOME here");
    mkdirSync(odd);
    chmodSync(odd, 0o755);
    const [, advice = ""] = refusal("state_unusable", () => prepareState(odd)).split("run ");
    expect(Bun.spawnSync(["sh", "-c", advice]).exitCode).toBe(0);
    prepareState(odd);
  });

  test("looks at the directory that a link points to", () => {
    using world = setup();
    mkdirSync(join(world.home, "open"));
    chmodSync(join(world.home, "open"), 0o755);
    symlinkSync(join(world.home, "open"), world.state);
    expect(refusal("state_unusable", () => prepareState(world.state))).toContain("others may enter it");
  });

  testIf(process.getuid?.() === 0, "other users' files and processes take root")(
    "refuses a directory of somebody else",
    () => {
      using world = setup();
      mkdirSync(world.state, { mode: 0o700 });
      Bun.spawnSync(["chown", "12345", world.state]);
      expect(refusal("state_unusable", () => prepareState(world.state))).toContain(
        "it belongs to user 12345, not 0",
      );
    },
  );

  test("refuses a name that is too long, and makes nothing of it", () => {
    using world = setup();
    const state = join(world.home, "above", "x".repeat(300));
    expect(refusal("state_unusable", () => prepareState(state))).toBe(
      `Cannot use state directory "${state}": its name is too long`,
    );
    expect(readdirSync(world.home)).toEqual([]);
  });

  testIf(process.getuid?.() === 0, "becoming another user takes root")(
    "refuses what this user may not write, in a directory above, in itself and in its rooms, and names it",
    () => {
      using world = setup();
      const attempt = (state: string) => {
        Bun.spawnSync(["chown", "-R", "65534", world.home]);
        const user = ["setpriv", "--reuid=65534", "--clear-groups"];
        return Bun.spawnSync([...user, process.execPath, "-e", PREPARER, state]).stdout.toString();
      };
      chmodSync(world.home, 0o500);
      expect(attempt(world.state)).toContain(`permission denied, mkdir '${world.state}'`);
      expect(existsSync(world.state)).toBe(false);
      chmodSync(world.home, 0o700);
      expect(attempt(world.state)).toBe("");
      for (const [name, mode] of [
        ["logs", 0o500],
        ["ledgers", 0o500],
        ["keeper", 0o500],
      ] as const) {
        chmodSync(join(world.state, name), mode);
        expect(attempt(world.state)).toMatch(
          new RegExp(`^Cannot use state directory ".*": EACCES: permission denied, access '.*/${name}'`),
        );
        chmodSync(join(world.state, name), 0o700);
      }
      writeFileSync(join(world.state, "server.lock"), "", { mode: 0 });
      expect(attempt(world.state)).toContain("server.lock");
    },
  );

  const fault = findMountFault();
  testIf(fault === undefined, `a read-only file system: ${fault}`)(
    "refuses a file system that is mounted read-only",
    () => {
      using small = mountSmall(1024 * 1024);
      const state = join(small.path, "state");
      prepareState(state);
      Bun.spawnSync(["mount", "-o", "remount,ro", small.path]);
      for (const path of [state, join(small.path, "other")])
        expect(refusal("state_unusable", () => prepareState(path))).toBe(
          `Cannot use state directory "${path}": its file system is mounted read-only`,
        );
    },
  );

  test("refuses a file in its place, or in that of a directory above or below it", () => {
    using world = setup();
    writeFileSync(world.state, "");
    expect(refusal("state_unusable", () => prepareState(world.state))).toContain(
      "it, or one of its rooms, is a file",
    );
    const below = join(world.state, "below");
    expect(refusal("state_unusable", () => prepareState(below))).toContain("a part of its path is a file");
    mkdirSync(join(world.home, "other"), { mode: 0o700 });
    writeFileSync(join(world.home, "other", "logs"), "");
    expect(refusal("state_unusable", () => prepareState(join(world.home, "other")))).toContain(
      "one of its rooms, is a file",
    );
  });
});

describe("lockState()", () => {
  test("holds the directory until it is disposed", () => {
    using world = setup();
    prepareState(world.state);
    {
      using _lock = lockState(world.state);
      expect(refusal("state_in_use", () => lockState(world.state))).toBe(
        `Cannot use state directory "${world.state}": another farhandd holds it`,
      );
    }
    lockState(world.state)[Symbol.dispose]();
  });

  test("names the server that holds it", () => {
    using world = setup();
    prepareState(world.state);
    using _lock = lockState(world.state);
    using _local = leaveLocalServer(world.state, local);
    expect(refusal("state_in_use", () => lockState(world.state))).toBe(
      `Cannot use state directory "${world.state}": farhandd with pid 4711 at http://127.0.0.1:9922 holds it`,
    );
  });

  test("takes over the lock of a process that was killed", async () => {
    using world = setup();
    prepareState(world.state);
    const holder = Bun.spawn({
      cmd: [process.execPath, "-e", HOLDER, world.state],
      stdout: "pipe",
    });
    await holder.stdout.getReader().read();
    expect(refusal("state_in_use", () => lockState(world.state))).toContain("another farhandd");
    holder.kill("SIGKILL");
    await holder.exited;
    lockState(world.state)[Symbol.dispose]();
  });
});

const PREPARER = `
  const { prepareState } = await import(${JSON.stringify(join(import.meta.dir, "../../src/server/state.ts"))});
  try {
    prepareState(process.argv[1]);
  } catch (error) {
    console.log(error.message);
  }
`;

const HOLDER = `
  const { lockState } = await import(${JSON.stringify(join(import.meta.dir, "../../src/server/state.ts"))});
  globalThis.lock = lockState(process.argv[1]);
  console.log("held");
  setInterval(() => {}, 1000);
`;

describe("leaveLocalServer()", () => {
  test("leaves a file for this user alone, and takes it away", () => {
    using world = setup();
    prepareState(world.state);
    {
      using _local = leaveLocalServer(world.state, local);
      expect(findLocalServer(world.state)).toEqual(local);
      expect(modeOf(join(world.state, "local.json"))).toBe(0o600);
      expect(readdirSync(world.state)).not.toContain("local.json.new");
    }
    expect(findLocalServer(world.state)).toBeUndefined();
  });

  test("takes the place of one that was left by a server that was killed", () => {
    using world = setup();
    prepareState(world.state);
    leaveLocalServer(world.state, { ...local, token: "fh_old", pid: 1 });
    leaveLocalServer(world.state, local);
    expect(findLocalServer(world.state)).toEqual(local);
  });
});

describe("findLocalServer()", () => {
  test.each([
    ["no JSON", "{"],
    ["nothing", ""],
    ["another shape", '{"url":"http://127.0.0.1:1"}'],
    ["wrong types", JSON.stringify({ ...local, pid: "4711" })],
  ])("finds none in a file with %s", (_, text) => {
    using world = setup();
    prepareState(world.state);
    writeFileSync(join(world.state, "local.json"), text);
    expect(findLocalServer(world.state)).toBeUndefined();
  });

  test("finds none where nothing was ever started", () => {
    using world = setup();
    expect(findLocalServer(world.state)).toBeUndefined();
  });
});
