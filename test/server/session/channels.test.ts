import { expect, test } from "bun:test";
import { turn } from "../../../src/lib/abort.ts";
import { createLog } from "../../../src/lib/log.ts";
import { decodeData } from "../../../src/protocol/data.ts";
import { CallOutput } from "../../../src/server/session/call-output.ts";
import { Channels, type ChannelsOptions } from "../../../src/server/session/channels.ts";
import { eventually } from "../../support/eventually.ts";

const never = new AbortController().signal;

/** A session with so many calls, each of which has a channel for what it says, of the same number. `isHeard`: whether that arrives. */
function setup(calls: number, isHeard = true) {
  let reads = 0;
  const outputs = Array.from({ length: calls }, () => {
    const output = new CallOutput(() => Number.POSITIVE_INFINITY);
    const read = output.read.bind(output);
    output.read = (...where) => {
      reads++;
      return read(...where);
    };
    return output;
  });
  const sent: number[] = [];
  const refuse = () => {
    throw new Error("none of this is asked for");
  };
  const sendBytes = (frame: Uint8Array) => {
    const { channel, position, bytes } = decodeData(frame);
    sent.push(channel);
    const arrived = position + bytes.length;
    const credit = { arrived, received: arrived, limit: arrived + 1_000_000 };
    if (isHeard) queueMicrotask(() => channels.grant(channel, credit));
  };
  // Of a session only what channels of calls have to do with.
  const channels = new Channels({
    calls: { findOutput: (call: number) => outputs[call - 1], findInput: refuse, forgetOutput: () => {} },
    line: () => ({ queued: 0, sendBytes, send: refuse }),
    send: () => {},
    log: createLog({ level: "info", format: "json", write: refuse, now: () => new Date(0) }),
  } as unknown as ChannelsOptions);
  for (let call = 1; call <= calls; call++)
    channels.openEvents({ channel: call, call, since: 0, limit: 1_000_000 });
  return { channels, outputs, sent, reads: () => reads };
}

test("Channels do not look at those that have nothing to send", async () => {
  const { outputs, sent, reads } = setup(500);
  await eventually(() => reads() >= 500);
  const before = reads();
  for (let said = 1; said <= 100; said++) {
    await outputs[250]?.put(said, never);
    await eventually(() => sent.length === said);
  }
  expect(reads() - before).toBeLessThan(10 * 100);
});

test("Channels that have much to send take turns, however many", async () => {
  const { outputs, sent } = setup(20);
  await turn(); // there is nothing to send yet
  const puts = outputs.flatMap((output) =>
    Array.from({ length: 20 }, () => output.put(new Uint8Array(60_000), never)),
  );
  await Promise.all(puts);
  while (sent.length < 20) await turn();
  expect(new Set(sent.slice(0, 20)).size).toBeGreaterThan(10);
});

test("Channels go on once one is closed whose bytes held them up, though nobody says that these came", async () => {
  const { channels, outputs, sent } = setup(20, false);
  await Promise.all(outputs.map((output) => output.put(new Uint8Array(60_000), never)));
  await eventually(() => sent.length >= 4);
  await turn();
  const before = sent.length;
  expect(before).toBeLessThan(20);
  channels.close(sent[0] ?? 0);
  await eventually(() => sent.length > before);
});
