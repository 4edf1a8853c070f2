import { describe, expect, test } from "bun:test";
import { createTimestampRenderer, renderJson, renderPlain } from "../../src/cli/render.ts";
import type { Packet } from "../../src/protocol/packet.ts";
import { SOME_EXIT } from "../support/packets.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const stdout = (number: number, at: number, text: string): Packet => ({
  type: "stdout",
  number,
  at,
  bytes: bytes(text),
});
const closed: Packet = {
  type: "closed",
  number: 9,
  at: 0,
  totals: { packets: 9, values: 0, stdoutBytes: 0, stderrBytes: 0 },
  exit: SOME_EXIT,
};

function textOf(shown: ReturnType<typeof renderPlain>): string {
  return shown.map(({ bytes }) => Buffer.from(bytes).toString()).join("");
}

describe("renderPlain()", () => {
  test("gives bytes as they are, and nothing of the rest", () => {
    const packet = stdout(0, 0, "a");
    expect(renderPlain(packet)).toEqual([{ stream: "stdout", bytes: bytes("a") }]);
    expect(renderPlain(closed)).toEqual([]);
  });
});

describe("renderJson()", () => {
  test("gives text where the bytes are UTF-8, and base64 where they are not", () => {
    expect(textOf(renderJson(stdout(1, 5, "\ufeffgrün\n")))).toBe(
      '{"type":"stdout","number":1,"at":5,"text":"\ufeffgrün\\n"}\n',
    );
    const odd = renderJson({ type: "stderr", number: 2, at: 6, bytes: new Uint8Array([0x61, 0xff]) });
    expect(odd).toEqual([
      { stream: "stdout", bytes: '{"type":"stderr","number":2,"at":6,"bytes":"Yf8="}\n' },
    ]);
    expect(renderJson(closed)).toEqual([]);
  });
});

describe("createTimestampRenderer()", () => {
  const render = () => createTimestampRenderer(Date.parse("2026-01-02T03:04:05.000Z"));

  test("begins each line with the time of the packet in which it began", () => {
    const renderer = render();
    const shown = [stdout(0, 0, "a\nb"), stdout(1, 1_500_000, "c\n\nd\n"), stdout(2, 2_000_000, "e")].map(
      (packet) => textOf(renderer(packet)),
    );
    expect(shown.join("")).toBe(
      "2026-01-02T03:04:05.000Z a\n" +
        "2026-01-02T03:04:05.000Z bc\n" +
        "2026-01-02T03:04:06.500Z \n" +
        "2026-01-02T03:04:06.500Z d\n" +
        "2026-01-02T03:04:07.000Z e",
    );
  });

  test("keeps the lines of both streams apart", () => {
    const renderer = render();
    expect(textOf(renderer(stdout(0, 0, "half")))).toEndWith("Z half");
    expect(textOf(renderer({ ...stdout(1, 0, "err"), type: "stderr" } as Packet))).toEndWith("Z err");
    expect(textOf(renderer(stdout(2, 0, " line\n")))).toBe(" line\n");
  });
});
