import { describe, expect, test } from "bun:test";
import { parsePattern, Until } from "../../src/cli/until.ts";
import type { Packet } from "../../src/protocol/packet.ts";
import { SOME_EXIT } from "../support/packets.ts";

const said = (type: "stdout" | "stderr", text: string): Packet => ({
  type,
  number: 0,
  at: 0,
  bytes: new TextEncoder().encode(text),
});
const closed: Packet = { type: "closed", number: 1, at: 0, totals: SOME_EXIT.totals, exit: SOME_EXIT };
const textOf = (packet: Packet) => ("bytes" in packet ? Buffer.from(packet.bytes).toString() : "");

describe("Until", () => {
  test("gives packets as they are until a line matches, and of that one no more than the line", () => {
    const until = new Until(/^b$/);
    expect([textOf(until.look(said("stdout", "a\nab\nb"))), until.matched]).toEqual(["a\nab\nb", false]);
    expect([textOf(until.look(said("stdout", "\nc\n"))), until.matched]).toEqual(["\n", true]);
  });

  test("looks at each stream's lines on their own", () => {
    const until = new Until(/ab/);
    for (const packet of [said("stdout", "a"), said("stderr", "b\n"), said("stdout", "\n")])
      until.look(packet);
    expect(until.matched).toBe(false);
  });

  test("looks at a last line that nothing ended when nothing more can come", () => {
    const until = new Until(/^login: $/);
    until.look(said("stdout", "login: "));
    expect(until.matched).toBe(false);
    until.look(closed);
    expect(until.matched).toBe(true);
  });

  test("sees lines that end as on Windows without what ends them", () => {
    const until = new Until(/ready$/);
    until.look(said("stdout", "ready\r\n"));
    expect(until.matched).toBe(true);
  });
});

test("parsePattern() refuses what is none in a sentence", () => {
  expect(() => parsePattern("--until", "(")).toThrow('Cannot use --until "(": ');
});
