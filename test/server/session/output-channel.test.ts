import { expect, test } from "bun:test";
import type { From } from "../../../src/protocol/control.ts";
import { Flight } from "../../../src/protocol/flight.ts";
import { MAX_DATA_BYTES } from "../../../src/protocol/limits.ts";
import { decodeRecords, type Packet, toPacket } from "../../../src/protocol/packet.ts";
import { Job } from "../../../src/server/jobs/job.ts";
import { OutputChannel } from "../../../src/server/session/output-channel.ts";
import { openDirectory } from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";
import { openLedger } from "../../support/ledgers.ts";
import { createStart } from "../../support/start.ts";

/** A job that says the numbers from 0 as values, one packet of stdout before each, and a channel that reads it. */
function setup(from: From) {
  const state = openDirectory();
  const start = createStart();
  const { directory, job: id, writer } = openLedger(state.path, start);
  const job = new Job({ ...start, job: id }, undefined, { next: 0, position: 0 }, false);
  const advance = () => job.advance({ next: writer.totals.packets, position: writer.position });
  const flight = new Flight();
  let readies = 0;
  const channel = new OutputChannel({
    state: state.path,
    job: id,
    from,
    holder: undefined,
    hold: undefined,
    flight,
    onReady: () => void readies++,
    onTaken() {},
  });
  channel.grant({ received: 0, limit: 1_000_000 }, 0);
  return {
    directory,
    writer,
    channel,
    say(...numbers: readonly number[]) {
      for (const number of numbers) {
        writer.append("stdout", new Uint8Array(1));
        writer.say([{ kind: "value", payload: new TextEncoder().encode(String(number)) }]);
      }
      advance();
    },
    end() {
      const exit = writer.exit({ outcome: { type: "exited", code: 0 }, endedAt: "then" });
      writer.close(exit);
      job.close({ next: writer.totals.packets, position: writer.position, exit });
    },
    attach: () => channel.attach(job),
    /** All that there is to read, once there is any. */
    async read(): Promise<Packet[]> {
      const packets: Packet[] = [];
      await eventually(() => {
        const target = new Uint8Array(MAX_DATA_BYTES);
        for (let bytes = channel.read(target, 0); bytes > 0; bytes = channel.read(target, 0))
          for (const record of decodeRecords(target.slice(0, bytes)))
            packets.push(toPacket(record) as Packet);
        return packets.length > 0;
      });
      return packets;
    },
    [Symbol.dispose]() {
      channel.close(true, 0);
      writer[Symbol.dispose]();
      state[Symbol.dispose]();
    },
  };
}

const shown = (packets: readonly Packet[]) =>
  packets.map((packet) => (packet.type === "value" ? packet.value : packet.type));

test("reads from a value on, after a gap of no packets that tells what there was before", async () => {
  using world = setup({ type: "since", number: 2, unit: "values" });
  world.say(0, 1, 2, 3);
  world.attach();
  const [first, ...rest] = await world.read();
  expect(first).toMatchObject({ type: "gap", number: 4, next: 4, totals: { values: 2, stdoutBytes: 2 } });
  expect(shown(rest)).toEqual(["stdout", 2, "stdout", 3]);
  world.say(4);
  expect(shown(await world.read())).toEqual(["stdout", 4]);
});

test("reads the last values", async () => {
  using world = setup({ type: "recent", count: 3, unit: "values" });
  world.say(0, 1, 2, 3, 4);
  world.attach();
  expect(shown(await world.read())).toEqual(["gap", "stdout", 2, "stdout", 3, "stdout", 4]);
});

test("waits for a value that is yet to come, and gives nothing of those before it", async () => {
  using world = setup({ type: "since", number: 3, unit: "values" });
  world.say(0);
  world.attach();
  world.say(1);
  world.say(2, 3);
  expect(shown(await world.read())).toEqual(["gap", "stdout", 3]);
});

test("gives the exit where the value never comes", async () => {
  using world = setup({ type: "since", number: 9, unit: "values" });
  world.say(0);
  world.attach();
  world.end();
  expect(shown(await world.read())).toEqual(["gap", "exit", "closed"]);
  expect(world.channel.isAtEnd).toBe(true);
});

test("breaks where there is nothing to look in", async () => {
  using world = setup({ type: "since", number: 1, unit: "values" });
  world.say(0);
  const { directory } = world;
  await Bun.$`rm -r ${directory}`.quiet();
  world.attach();
  await expect(world.read()).rejects.toThrow("its record was removed");
});

test("looks for nothing any more once it is closed", async () => {
  using world = setup({ type: "since", number: 1, unit: "values" });
  world.attach();
  world.channel.close(true, 0);
  world.say(0, 1);
  await new Promise(setImmediate);
  expect(world.channel.read(new Uint8Array(MAX_DATA_BYTES), 0)).toBe(0);
});
