import { describe, expect, test } from "bun:test";
import { createLog } from "../../../src/lib/log.ts";
import type { Accepted } from "../../../src/process/sockets.ts";
import { LOGIN_GRACE, MAX_SOURCE_STRANGERS, MAX_STRANGERS } from "../../../src/protocol/limits.ts";
import { Strangers } from "../../../src/server/gate/strangers.ts";

/** Connections as the system would list them, and a clock that the test moves. */
function setup(random: () => number = () => 0.999_9) {
  const clock = { now: 0 };
  const open = new Map<string, Accepted>();
  const offences: [string, string][] = [];
  const refused = new Set<string>();
  let fd = 10;
  const strangers = new Strangers({
    sockets: { list: async () => [...open.values()], end: ({ peer }) => void open.delete(peer) },
    now: () => clock.now,
    random,
    log: createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() }),
    onOffence: (...offence) => void offences.push(offence),
    isRefused: (peer) => refused.has(peer),
    toSource: (peer) => peer.split(" ")[0] ?? "",
  });
  strangers.watch(1);
  const connect = (...peers: string[]) => {
    for (const peer of peers) open.set(peer, { fd: fd++, peer });
  };
  const look = (later = 0) => {
    clock.now += later;
    return strangers.runOnce();
  };
  return { strangers, clock, open, offences, refused, connect, look };
}

const many = (count: number, toPeer: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => toPeer(index));

describe("A connection that asks for nothing", () => {
  test("is borne for the login grace, no longer, and earns a penalty", async () => {
    const { connect, look, open, offences } = setup();
    connect("a 1");
    await look();
    for (let seconds = 1; seconds < LOGIN_GRACE / 1_000 - 1; seconds++) await look(1_000);
    expect(open.size).toBe(1);
    await look(1_000);
    expect([open.size, offences]).toEqual([0, [["a 1", "lingered"]]]);
  });

  test("earns less if it goes by itself, and as much if the runtime has given it up", async () => {
    const { connect, look, open, offences } = setup();
    connect("a 1", "b 1");
    await look();
    open.delete("a 1");
    await look(1_000);
    open.delete("b 1");
    await look(11_000);
    expect(offences).toEqual([
      ["a 1", "silent"],
      ["b 1", "lingered"],
    ]);
  });

  test("has to go at once if its source is refused", async () => {
    const { connect, look, open, refused } = setup();
    connect("a 1", "b 1");
    refused.add("a 1");
    await look();
    expect([...open.keys()]).toEqual(["b 1"]);
  });
});

describe("A connection", () => {
  test("on which somebody was let in may stay for ever, and is forgotten with its end", async () => {
    const { strangers, connect, look, open, offences } = setup();
    connect("a 1");
    await look();
    strangers.admit("a 1");
    await look(10 * LOGIN_GRACE);
    expect([open.size, offences]).toEqual([1, []]);
    open.delete("a 1");
    await look(1_000);
    connect("a 1"); // somebody else, by the same number
    await look(1_000);
    await look(LOGIN_GRACE);
    expect([open.size, offences]).toEqual([0, [["a 1", "lingered"]]]);
  });

  test("that was answered earns nothing by ending, also before anybody looked", async () => {
    const { strangers, connect, look, open, offences } = setup();
    strangers.note("a 1");
    connect("b 1");
    await look(1_000);
    strangers.note("b 1");
    open.clear();
    await look(1_000);
    expect(offences).toEqual([]);
  });
});

describe("Of too many connections", () => {
  test("some stay, however many come at once, and those who were let in are not touched", async () => {
    const { strangers, connect, look, open, offences } = setup();
    connect("friend 1");
    strangers.admit("friend 1");
    connect(...many(10_000, (index) => `${index} 1`));
    expect(await look()).toEqual({ staying: MAX_STRANGERS, ended: 10_000 - MAX_STRANGERS });
    expect([open.has("friend 1"), offences]).toEqual([true, []]);
  });

  test("one source has a few", async () => {
    const { connect, look } = setup();
    connect(...many(90, (index) => `a ${index}`), "b 1");
    expect(await look()).toEqual({ staying: MAX_SOURCE_STRANGERS + 1, ended: 90 - MAX_SOURCE_STRANGERS });
  });

  test("the latest stay, so that whoever speaks at once is let in", async () => {
    const { connect, look, open } = setup();
    connect(...many(MAX_STRANGERS, (index) => `${index} 1`));
    await look();
    connect("late 1");
    await look(1_000);
    expect([open.has("late 1"), open.size]).toEqual([true, MAX_STRANGERS]);
  });

  test("chance takes some of those that stay silent once there are more than ten, and never one of ten", async () => {
    const unlucky = setup(() => 0);
    unlucky.connect(...many(50, (index) => `${index} 1`));
    expect(await unlucky.look()).toEqual({ staying: 50, ended: 0 });
    expect(await unlucky.look(1_000)).toEqual({ staying: 10, ended: 40 });
    const asking = setup(() => 0);
    const peers = many(50, (index) => `${index} 1`);
    asking.connect(...peers);
    for (const peer of peers) asking.strangers.note(peer); // a password that waits for its turn
    await asking.look();
    expect(await asking.look(1_000)).toEqual({ staying: 50, ended: 0 });
    const lucky = setup();
    lucky.connect(...many(50, (index) => `${index} 1`));
    await lucky.look();
    expect(await lucky.look(1_000)).toEqual({ staying: 50, ended: 0 });
  });
});
