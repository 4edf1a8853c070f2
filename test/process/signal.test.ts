import { expect, test } from "bun:test";
import { parseSignal, signalGroup } from "../../src/process/signal.ts";
import { eventually } from "../support/eventually.ts";
import { openDirectory } from "../support/directory.ts";
import { testIf } from "../support/test-if.ts";

test.each([
  ["TERM", "SIGTERM"],
  ["sigterm", "SIGTERM"],
  ["SIGHUP", "SIGHUP"],
  ["9", "SIGKILL"],
  ["usr1", "SIGUSR1"],
])("parseSignal reads %s as %s", (text, signal) => {
  expect(parseSignal(text)).toBe(signal as NodeJS.Signals);
});

const isLinux = process.platform === "linux";

testIf(isLinux, "only Linux has real-time signals").each([
  ["RTMIN", "SIGRTMIN"],
  ["34", "SIGRTMIN"],
  ["SIGRTMIN+0", "SIGRTMIN"],
  ["rtmin+3", "SIGRTMIN+3"],
  ["37", "SIGRTMIN+3"],
  ["RTMAX", "SIGRTMIN+30"],
  ["SIGRTMAX-14", "SIGRTMIN+16"],
  ["64", "SIGRTMIN+30"],
])("parseSignal reads the real-time signal %s as %s", (text, signal) => {
  expect(String(parseSignal(text))).toBe(signal);
});

testIf(!isLinux, "Linux has real-time signals, so it refuses none")(
  "parseSignal refuses real-time signals where there are none",
  () => {
    expect(() => parseSignal("RTMIN")).toThrow(expect.objectContaining({ code: "invalid_input" }));
  },
);

test.each(["", "SIG", "NOPE", "0", "-9", "65", "999", "RTMIN+31", "RTMAX+1", "RTMIN3", "TERM ", "toString"])(
  "parseSignal refuses %p",
  (text) => {
    expect(() => parseSignal(text)).toThrow(expect.objectContaining({ code: "invalid_input" }));
  },
);

test("signalGroup reaches the whole group, and answers false when there is none", async () => {
  const script =
    "trap 'exit 7' USR1; (trap 'exit 0' USR1; while :; do sleep 0.02; done) & echo; while :; do sleep 0.02; done";
  const leader = Bun.spawn(["sh", "-c", script], { detached: true, stdout: "pipe" });
  await leader.stdout.getReader().read();
  expect(signalGroup(leader.pid, "SIGUSR1")).toBe(true);
  expect(await leader.exited).toBe(7);
  await eventually(() => !signalGroup(leader.pid, "SIGKILL"));
});

testIf(isLinux, "only Linux has real-time signals")("signalGroup sends a real-time signal", async () => {
  const leader = Bun.spawn(["sleep", "60"], { detached: true });
  expect(signalGroup(leader.pid, parseSignal("RTMIN+3"))).toBe(true);
  expect(await leader.exited).toBe(128 + 37);
});

testIf(process.getuid?.() === 0, "other users' files and processes take root")(
  "signalGroup says that it may not signal a group of another user",
  async () => {
    using directory = openDirectory();
    const leader = Bun.spawn(["sleep", "60"], { detached: true });
    const script = `${directory.path}/signal.ts`;
    await Bun.write(
      script,
      `import { signalGroup } from "${import.meta.dir}/../../src/process/signal.ts";
     process.setuid(65534);
     try { signalGroup(${leader.pid}, "SIGTERM"); } catch (error) { console.log(error.code, error.message); }`,
    );
    const { stdout } = Bun.spawnSync([process.execPath, script]);
    leader.kill("SIGKILL");
    expect(stdout.toString()).toBe(
      `forbidden Cannot signal process group ${leader.pid}: its processes belong to another user (EPERM)\n`,
    );
  },
);
