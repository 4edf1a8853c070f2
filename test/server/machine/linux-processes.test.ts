import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { toBytes } from "../../../src/protocol/path.ts";
import {
  parseBootTime,
  parseCommandLine,
  parseStat,
  parseStatus,
  walkLinux,
} from "../../../src/server/machine/linux-processes.ts";
import { testIf } from "../../support/test-if.ts";

const isLinux = process.platform === "linux";

// Debian 12, kernel 6.1.
const STAT =
  "742 (cron) S 1 742 742 0 -1 4194560 1023 68217 1 12 38 67 95 143 20 0 1 0 1047 6778880 689 18446744073709551615 94 94 14 0 0 0 0 0 65537 1 0 0 17 3 0 0 0 0 0 94 94 94 14 14 14 14 0\n";
const STATUS = `Name:	cron
Umask:	0022
State:	S (sleeping)
Tgid:	742
Pid:	742
PPid:	1
Uid:	1000	1001	1000	1000
Gid:	0	0	0	0
VmPeak:	    6620 kB
VmRSS:	    2756 kB
Threads:	1
`;

describe("parseStat()", () => {
  test("reads what proc_pid_stat(5) has", () => {
    expect(parseStat(Buffer.from(STAT))).toEqual({
      name: Buffer.from("cron"),
      state: "sleeping",
      parent: 1,
      session: 742,
      cpuMs: 1_050,
      start: "1047",
    });
  });

  test("is not led astray by any name that a process may give itself", () => {
    const name = fc.uint8Array({ maxLength: 15 }).filter((bytes) => !bytes.includes(0));
    fc.assert(
      fc.property(name, (bytes) => {
        const [head = "", tail = ""] = STAT.split("cron");
        const stat = parseStat(Buffer.concat([Buffer.from(head), bytes, Buffer.from(tail)]));
        expect([...stat.name]).toEqual([...bytes]);
        expect(stat).toMatchObject({ parent: 1, session: 742, start: "1047" });
      }),
    );
    expect(parseStat(Buffer.from(STAT.replace("cron", ") Z 9 9 (")))).toMatchObject({ state: "sleeping" });
  });

  test.each([
    ["R", "running"],
    ["D", "blocked"],
    ["T", "stopped"],
    ["t", "stopped"],
    ["Z", "zombie"],
    ["I", "idle"],
    ["P", "unknown"],
  ] as const)("calls state %s %s", (letter, state) => {
    expect(parseStat(Buffer.from(STAT.replace(") S", `) ${letter}`))).state).toBe(state);
  });
});

test("parseStatus() reads the effective user, and no memory of a part of the kernel", () => {
  expect(parseStatus(STATUS)).toEqual({ uid: 1001, rssBytes: 2756 * 1024 });
  expect(parseStatus("Name:\tkthreadd\nUid:\t0\t0\t0\t0\nThreads:\t1\n")).toEqual({ uid: 0, rssBytes: 0 });
});

test("parseBootTime() finds its line", () => {
  expect(parseBootTime("cpu  1 2 3\nintr 5\nctxt 9\nbtime 1764346523\nprocesses 5\n")).toBe(1764346523_000);
});

describe("parseCommandLine()", () => {
  test("keeps words as they are: empty ones, newlines, and bytes that are no UTF-8", () => {
    expect(parseCommandLine(Buffer.from("printf\0%s\n\0\0-x y\0", "latin1"))).toEqual([
      "printf",
      "%s\n",
      "",
      "-x y",
    ]);
    expect(parseCommandLine(Buffer.from("cat\0caf\xe9\0", "latin1"))).toEqual([
      "cat",
      { bytes: Buffer.from("caf\xe9", "latin1").toString("base64") },
    ]);
  });

  test("has no words of a part of the kernel, and one of what wrote over them", () => {
    expect(parseCommandLine(new Uint8Array())).toEqual([]);
    expect(parseCommandLine(Buffer.from("nginx: master process\0\0\0\0"))).toEqual(["nginx: master process"]);
    expect(parseCommandLine(Buffer.from("cut off"))).toEqual(["cut off"]);
  });

  test("gives back any words that do not end with empty ones", () => {
    const word = fc.uint8Array({ maxLength: 20 }).map((bytes) => bytes.filter((byte) => byte !== 0));
    fc.assert(
      fc.property(fc.array(word), (words) => {
        const meant = words.slice(0, words.findLastIndex((word) => word.length > 0) + 1);
        const line = Buffer.concat(words.flatMap((word) => [word, Buffer.from([0])]));
        expect(parseCommandLine(line).map((word) => [...toBytes(word)])).toEqual(
          meant.map((word) => [...word]),
        );
      }),
    );
  });
});

testIf(isLinux, "this is not Linux")("walkLinux() finds ourselves as we are", () => {
  const self = [...walkLinux(new Map([[process.geteuid?.() ?? 0, { name: "me", shell: "" }]]))].find(
    (found) => found?.pid === process.pid,
  );
  expect(self).toMatchObject({ ppid: process.ppid, user: "me" });
  expect(self?.argv.length).toBeGreaterThan(0);
  expect(Math.abs(Date.parse(self?.startedAt ?? "") - (Date.now() - process.uptime() * 1_000))).toBeLessThan(
    5_000,
  );
  expect(self?.rssBytes).toBeGreaterThan(1024 * 1024);
});

testIf(isLinux, "this is not Linux")("walkLinux() passes over those that vanish while it looks", async () => {
  const children = Array.from({ length: 20 }, () => Bun.spawn(["sleep", "100"]));
  const walk = walkLinux(new Map());
  const first = walk.next();
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map(({ exited }) => exited));
  const pids = new Set([first.value?.pid, ...[...walk].map((found) => found?.pid)]);
  expect(pids.has(process.pid)).toBe(true);
  for (const { pid } of children) expect(pids.has(pid)).toBe(false);
});
