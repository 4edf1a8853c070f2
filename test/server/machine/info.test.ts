import { describe, expect, test } from "bun:test";
import {
  parseMeminfo,
  parseOsRelease,
  parseSwVers,
  parseVmStat,
  readInfo,
} from "../../../src/server/machine/info.ts";

const signal = new AbortController().signal;

describe("parseOsRelease()", () => {
  test.each([
    [
      'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nVERSION="12 (bookworm)"\nID=debian\n',
      ["Debian GNU/Linux", "12 (bookworm)"],
    ],
    ['NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\n', ["Alpine Linux", "3.20.3"]],
    ["NAME='Arch Linux'\nBUILD_ID=rolling\n", ["Arch Linux", "rolling"]],
    ['# comment\n  NAME="A \\"B\\" \\$C"  \n', ['A "B" $C', ""]],
    ["", ["Linux", ""]],
  ])("reads %s", (text, [name, version]) => {
    expect(parseOsRelease(text)).toEqual({ system: "linux", name: name ?? "", version: version ?? "" });
  });
});

test("parseSwVers() says macOS, which is no Linux, under any of its names", () => {
  expect(parseSwVers("ProductName:\t\tmacOS\nProductVersion:\t\t14.5\nBuildVersion:\t\t23F79\n")).toEqual({
    system: "mac",
    name: "macOS",
    version: "14.5 (23F79)",
  });
  expect(parseSwVers("ProductName:\tMac OS X\nProductVersion:\t10.15.7\nBuildVersion:\t19H2\n").name).toBe(
    "macOS",
  );
});

test("parseMeminfo() reads what is available, or of an old kernel what is free", () => {
  const text =
    "MemTotal:       24626140 kB\nMemFree:        11111 kB\nMemAvailable:   22222 kB\nBuffers: 1 kB\n";
  expect(parseMeminfo(text)).toBe(22222 * 1024);
  expect(parseMeminfo(text.replace(/^MemAvailable.*\n/m, ""))).toBe(11111 * 1024);
});

test("parseVmStat() counts pages of the size that it names", () => {
  const text = `Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10000.
Pages active:                            400000.
Pages inactive:                           20000.
Pages speculative:                         3000.
Pages wired down:                        150000.
`;
  expect(parseVmStat(text)).toBe(33_000 * 16_384);
});

test("readInfo() tells of this machine", async () => {
  const { cpus, memory, uptime, hostname, shell, system } = await readInfo(signal);
  const word = { linux: "linux", darwin: "mac", win32: "windows" }[process.platform as "linux"];
  expect(system).toBe(word as "linux");
  expect(cpus).toBeGreaterThan(0);
  expect(memory.available).toBeGreaterThan(0);
  expect(memory.available).toBeLessThan(memory.total);
  expect(uptime).toBeGreaterThan(1_000);
  expect(hostname).not.toBe("");
  expect(shell).not.toBe("");
});
