import { expect, test } from "bun:test";
import { PrefixRenderer } from "../../src/cli/prefix.ts";
import type { Packet } from "../../src/protocol/packet.ts";

const said = (type: "stdout" | "stderr", number: number, text: string): Packet => ({
  type,
  number,
  at: 0,
  bytes: new TextEncoder().encode(text),
});
const gap: Packet = {
  type: "gap",
  number: 4,
  at: 0,
  next: 9,
  totals: { packets: 9, values: 0, stdoutBytes: 0, stderrBytes: 0 },
};
const toPlain = (shown: ReturnType<PrefixRenderer["render"]>) =>
  shown.map(({ stream, bytes }) => [stream, Buffer.from(bytes).toString()]);

test("lines are shown when they are whole, behind the prefix of where they began, each stream on its own", () => {
  const renderer = new PrefixRenderer((packet) => `[${packet.number}] `);
  const show = (packet: Packet) => toPlain(renderer.render(packet));
  expect(show(said("stdout", 0, "a"))).toEqual([]);
  expect(show(said("stderr", 1, "x\ny"))).toEqual([["stderr", "[1] x\n"]]);
  expect(renderer.held).toBe(0);
  expect(show(said("stdout", 2, "b\nc\nd"))).toEqual([["stdout", "[0] ab\n[2] c\n"]]);
  expect(renderer.held).toBe(1);
  expect(toPlain(renderer.rest())).toEqual([
    ["stdout", "[2] d\n"],
    ["stderr", "[1] y\n"],
  ]);
  expect([renderer.held, renderer.rest()]).toEqual([undefined, []]);
});

test("what stood before a gap is not joined to what comes after it", () => {
  const renderer = new PrefixRenderer(() => "> ");
  renderer.render(said("stdout", 3, "before"));
  expect(toPlain(renderer.render(gap))).toEqual([["stdout", "> before\n"]]);
  expect(toPlain(renderer.render(said("stdout", 9, "after\n")))).toEqual([["stdout", "> after\n"]]);
});

test("bytes of no known encoding pass unchanged", () => {
  const renderer = new PrefixRenderer(() => "");
  const bytes = new Uint8Array([0xff, 0x00, 0x1b, 0x0a]);
  expect(renderer.render({ type: "stdout", number: 0, at: 0, bytes })).toEqual([
    { stream: "stdout", bytes: Buffer.from(bytes) },
  ]);
});
