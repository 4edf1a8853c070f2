import { describe, expect, setDefaultTimeout } from "bun:test";
import * as v from "valibot";
import { HolderId, WriterId } from "../../src/protocol/id.ts";
import { TERMINAL_RUN_AHEAD_BYTES } from "../../src/protocol/limits.ts";
import { eventually } from "../support/eventually.ts";
import { KeeperProcess } from "../support/keeper.ts";
import { textOf } from "../support/packets.ts";
import { testIf } from "../support/test-if.ts";

setDefaultTimeout(60_000);

const onLinux = testIf(process.platform === "linux", "terminals of our own are Linux's");
const terms = { terminal: { columns: 80, rows: 24, term: "xterm" } };

async function setup() {
  const keeper = await KeeperProcess.start();
  const front = await keeper.front();
  const said = (job: Parameters<typeof keeper.ledger>[0]) => textOf(keeper.ledger(job));
  return { keeper, front, said, [Symbol.asyncDispose]: () => keeper[Symbol.asyncDispose]() };
}

describe("A job on a terminal", () => {
  onLinux("has all that it says as stdout, and its sizes where they changed", async () => {
    await using world = await setup();
    const { keeper, front, said } = world;
    const script = "stty size; trap 'stty size; exit 7' WINCH; echo error >&2; while :; do sleep 0.05; done";
    const job = await keeper.spawn(front, ["bash", "-c", script], { stdin: true, terms });
    await eventually(() => said(job).includes("error"));
    front.send({ type: "resize", job, columns: 100, rows: 30 });
    await front.hear("closed", (message) => message.job === job);
    const packets = keeper.ledger(job);
    expect(textOf(packets)).toBe("24 80\r\nerror\r\n30 100\r\n");
    expect(packets.filter(({ type }) => type === "resize")).toMatchObject([{ columns: 100, rows: 30 }]);
    expect(packets.find(({ type }) => type === "exit")).toMatchObject({
      outcome: { type: "exited", code: 7 },
    });
  });

  onLinux("takes what is typed, and Ctrl-D for the end of it, from one writer after another", async () => {
    await using world = await setup();
    const { keeper, front } = world;
    const script = "stty -echo; echo; cat; read -r more; echo more: $more";
    const job = await keeper.spawn(front, ["bash", "-c", script], { stdin: true, terms });
    const [first, second] = [crypto.randomUUID(), crypto.randomUUID()].map((id) => v.parse(WriterId, id));
    if (first === undefined || second === undefined) throw new Error("two writers");
    await front.until(() => front.standing(job).next > 0 || undefined);
    front.send({ type: "input", job, writer: first, offset: 0 }, Buffer.from("words\n"));
    front.send({ type: "end_input", job, writer: first, offset: 6 });
    await eventually(() => textOf(keeper.ledger(job)).includes("words"));
    front.send({ type: "input", job, writer: second, offset: 0 }, Buffer.from("typed on\r"));
    await front.hear("closed", (message) => message.job === job);
    expect(textOf(keeper.ledger(job))).toBe("\r\nwords\r\nmore: typed on\r\n");
  });

  onLinux("hangs up when it is ended, at which a shell that heeds no TERM ends", async () => {
    await using world = await setup();
    const { keeper, front, said } = world;
    const script = "trap '' TERM; trap 'echo hung up; exit 1' HUP; echo ready; while :; do sleep 0.05; done";
    const job = await keeper.spawn(front, ["bash", "-c", script], { stdin: true, terms });
    await eventually(() => said(job).includes("ready"));
    front.send({ type: "cancel", request: 9, job, signal: "SIGTERM", grace: 20_000, by: "test" });
    expect(await front.hear("reply", (message) => message.request === 9)).toMatchObject({
      ended: { killed: 0 },
    });
    expect(said(job)).toContain("hung up");
  });

  onLinux("runs little ahead of a holder that reads nothing, and goes on when he is gone", async () => {
    await using world = await setup();
    const { keeper, front } = world;
    const holder = v.parse(HolderId, crypto.randomUUID());
    const job = await keeper.spawn(front, ["yes"], { stdin: true, terms, holder });
    await front.until(() => front.standing(job).position >= TERMINAL_RUN_AHEAD_BYTES || undefined);
    for (let count = 0; count < 5; count++) await keeper.run(front, "true");
    expect(front.standing(job).position).toBeLessThan(2 * TERMINAL_RUN_AHEAD_BYTES);
    front.send({ type: "release", job, holder });
    await front.until(() => front.standing(job).position > 4 * TERMINAL_RUN_AHEAD_BYTES || undefined);
  });
});
