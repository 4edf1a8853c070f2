import { expect, test } from "bun:test";
import fc from "fast-check";
import { findTail, type Source } from "../../src/cli/tail.ts";
import type { From } from "../../src/protocol/control.ts";
import type { JobId } from "../../src/protocol/id.ts";
import type { Packet } from "../../src/protocol/packet.ts";

const job = "00000000-0000-7000-8000-000000000000" as JobId;
const never = new AbortController().signal;
const totals = { packets: 0, values: 0, stdoutBytes: 0, stderrBytes: 0 };

type Said = readonly [stream: "stdout" | "stderr", text: string];

/** A job that said this and lives on; a reader that wants more than there is would wait for ever. `first`: kept since then. */
function createJob(said: readonly Said[], first = 0) {
  const packets = said.map(([type, text], number): Packet => ({
    type,
    number,
    at: 0,
    bytes: new TextEncoder().encode(text),
  }));
  const opened: From[] = [];
  const source: Source = {
    openOutput(_job, from) {
      opened.push(from);
      const since = from.type === "since" ? from.number : 0;
      return {
        consumed: () => {},
        close: () => {},
        async *[Symbol.asyncIterator]() {
          if (since < first) yield { type: "gap", number: since, at: 0, next: first, totals };
          yield* packets.slice(Math.max(first, since));
          await new Promise(() => {});
        },
      };
    },
  };
  const tail = async (lines: number) => {
    const { since, trim } = await findTail(source, { job, next: packets.length }, lines, never);
    const shown = packets.slice(Math.max(since, first)).map(trim);
    const of = (stream: string) =>
      shown
        .map((packet) =>
          packet.type === stream && "bytes" in packet ? Buffer.from(packet.bytes).toString() : "",
        )
        .join("");
    return { since, stdout: of("stdout"), stderr: of("stderr") };
  };
  return { tail, opened };
}

/** The last lines as plainly as they can be found: by walking through all characters. */
function expected(said: readonly Said[], lines: number) {
  const begun: { stream: string; text: string }[] = [];
  const open: Record<string, { stream: string; text: string } | undefined> = {};
  for (const [stream, text] of said) {
    for (const letter of text) {
      const line = (open[stream] ??= begun[begun.push({ stream, text: "" }) - 1] as {
        stream: string;
        text: string;
      });
      line.text += letter;
      if (letter === "\n") open[stream] = undefined;
    }
  }
  const last = lines === 0 ? [] : begun.slice(-lines);
  const of = (wanted: string) =>
    last
      .filter(({ stream }) => stream === wanted)
      .map(({ text }) => text)
      .join("");
  return { stdout: of("stdout"), stderr: of("stderr") };
}

test("findTail() begins exactly at the last lines, whatever the packets and however they mix", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "\n"), minLength: 1, maxLength: 6 });
  const packet = fc.tuple(fc.constantFrom("stdout" as const, "stderr" as const), text);
  const said = fc.oneof(
    fc.array(packet, { maxLength: 20 }),
    fc.array(packet, { minLength: 60, maxLength: 700 }),
  );
  await fc.assert(
    fc.asyncProperty(said, fc.nat({ max: 40 }), async (said, lines) => {
      const { tail } = createJob(said);
      expect(await tail(lines)).toMatchObject(expected(said, lines));
    }),
    { numRuns: 400 },
  );
});

test("findTail() looks at few packets of a long record", async () => {
  const said = Array.from({ length: 10_000 }, (_, n): Said => ["stdout", `line ${n}\n`]);
  const { tail, opened } = createJob(said);
  expect((await tail(2)).stdout).toBe("line 9998\nline 9999\n");
  expect(opened).toEqual([{ type: "since", number: 10_000 - 64 }]);
});

test("findTail() is not fooled by a stream of which it sees only the middle of a line", async () => {
  const said: Said[] = [
    ["stderr", "begun long ago"],
    ...Array.from({ length: 100 }, (_, n): Said => ["stdout", `${n}\n`]),
    ["stderr", " and ended now\n"],
  ];
  expect(await createJob(said).tail(1)).toMatchObject({ stdout: "99\n", stderr: "" });
});

test("findTail() reads from the first packet where lines are gone, so that the reader is told", async () => {
  const said = Array.from({ length: 100 }, (_, n): Said => ["stdout", `${n}\n`]);
  expect((await createJob(said, 90).tail(5)).since).toBe(95);
  expect((await createJob(said, 90).tail(50)).since).toBe(0);
});
