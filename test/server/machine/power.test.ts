import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../../src/protocol/error.ts";
import {
  canSuspend,
  planPower,
  type PowerFacts,
  runPower,
  toCandidates,
} from "../../../src/server/machine/power.ts";
import { openDirectory } from "../../support/directory.ts";

const plain: PowerFacts = { system: "linux", isSystemd: false, states: [], mayWriteState: false };
const systemd: PowerFacts = { ...plain, isSystemd: true };

/** A directory of stubs. */
function setup() {
  const directory = openDirectory();
  const stub = (name: string, script: string) => {
    const file = join(directory.path, name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
    return file;
  };
  return { path: directory.path, stub, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

async function refusal(act: () => unknown): Promise<AppError> {
  try {
    await act();
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("It was not refused");
}

describe("toCandidates()", () => {
  test.each([
    ["reboot", systemd, ["systemctl --no-ask-password reboot", "shutdown -r now", "reboot"]],
    ["shutdown", systemd, ["systemctl --no-ask-password poweroff", "shutdown -h now", "poweroff"]],
    ["reboot", plain, ["shutdown -r now", "reboot"]],
    ["shutdown", plain, ["shutdown -h now", "poweroff"]],
    ["sleep", { ...plain, states: ["freeze", "mem"] }, ["sh -c echo mem > /sys/power/state"]],
    ["sleep", { ...plain, states: ["freeze"] }, ["sh -c echo freeze > /sys/power/state"]],
    ["reboot", { ...plain, system: "darwin" }, ["shutdown -r now"]],
    ["shutdown", { ...plain, system: "darwin" }, ["shutdown -h now"]],
    ["sleep", { ...plain, system: "darwin" }, ["pmset sleepnow"]],
    ["reboot", { ...plain, system: "win32" }, ["shutdown.exe /r /t 0"]],
    ["shutdown", { ...plain, system: "win32" }, ["shutdown.exe /s /t 0"]],
    ["sleep", { ...plain, system: "win32" }, ["rundll32.exe powrprof.dll,SetSuspendState 0,1,0"]],
  ] as const)("of %s has, for %j, %j", (action, facts, argvs) => {
    expect(toCandidates(action, facts).map((argv) => argv.join(" "))).toEqual([...argvs]);
  });
});

test("canSuspend() is true where the kernel can and somebody may tell it to", () => {
  expect(canSuspend(plain)).toBe(false);
  expect(canSuspend(systemd)).toBe(false);
  expect(canSuspend({ ...systemd, states: ["disk"] })).toBe(false);
  expect(canSuspend({ ...plain, states: ["mem"] })).toBe(false);
  expect(canSuspend({ ...systemd, states: ["freeze", "mem", "disk"] })).toBe(true);
  expect(canSuspend({ ...plain, states: ["mem"], mayWriteState: true })).toBe(true);
  expect(canSuspend({ ...plain, system: "darwin" })).toBe(true);
});

describe("planPower()", () => {
  test("names the file of the first program that there is, PATH before the system's own directories", () => {
    using world = setup();
    const shutdown = world.stub("shutdown", "exit 0");
    expect(planPower("reboot", plain, world.path)).toEqual([shutdown, "-r", "now"]);
    const systemctl = world.stub("systemctl", "exit 0");
    expect(planPower("reboot", systemd, world.path)).toEqual([systemctl, "--no-ask-password", "reboot"]);
    expect(planPower("reboot", plain, `/nowhere:${world.path}`)).toEqual([shutdown, "-r", "now"]);
  });

  test("passes over what cannot be run", () => {
    using world = setup();
    mkdirSync(join(world.path, "systemctl"));
    const reboot = world.stub("shutdown", "exit 0");
    expect(planPower("reboot", systemd, world.path)[0]).not.toBe(join(world.path, "systemctl"));
    chmodSync(reboot, 0o644);
    expect(planPower("reboot", plain, world.path)[0]).not.toBe(reboot);
  });
});

describe("runPower()", () => {
  test("hands its argv over, with the environment that it was given and no input", async () => {
    using world = setup();
    const file = world.stub(
      "shutdown",
      `printf '%s\\n' "$0" "$@" "$WHO" > "${world.path}/told"; cat >> "${world.path}/told"`,
    );
    await runPower([file, "-r", "a b"], { PATH: process.env["PATH"] ?? "", WHO: "me" });
    expect(await Bun.file(join(world.path, "told")).text()).toBe(`${file}\n-r\na b\nme\n`);
  });

  test("throws what the system says when it refuses", async () => {
    using world = setup();
    const file = world.stub(
      "shutdown",
      "echo 'Call to Reboot failed:' >&2; echo 'Access denied' >&2; exit 4",
    );
    expect(await refusal(() => runPower([file, "-r"], {}))).toMatchObject({
      code: "os_error",
      message: `The system refuses: ${file} ended with exit code 4: Call to Reboot failed: Access denied`,
      details: { argv: [file, "-r"], exitCode: 4 },
    });
  });

  test("does not wait for somebody whom the program leaves behind with its stderr", async () => {
    using world = setup();
    const file = world.stub("shutdown", "sleep 5 & exit 1");
    const before = performance.now();
    expect(await refusal(() => runPower([file], { PATH: process.env["PATH"] ?? "" }))).toMatchObject({
      code: "os_error",
    });
    expect(performance.now() - before).toBeLessThan(4_500);
  });

  test("throws what keeps a program from being run", async () => {
    using world = setup();
    const file = join(world.path, "gone");
    expect(await refusal(() => runPower([file], {}))).toMatchObject({
      code: "os_error",
      details: { os: "ENOENT" },
    });
  });
});
