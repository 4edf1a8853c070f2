import { describe, expect, test } from "bun:test";
import type { JobInputPiece } from "../../../src/commands/access/jobs.ts";
import type { FrontMessage } from "../../../src/keeper/link.ts";
import type { WriterId } from "../../../src/protocol/id.ts";
import { deliver } from "../../../src/server/jobs/delivery.ts";
import { Job } from "../../../src/server/jobs/job.ts";
import type { InputListener, KeeperLink } from "../../../src/server/keepers/keeper-link.ts";
import { eventually } from "../../support/eventually.ts";
import { createStart } from "../../support/start.ts";

const never = new AbortController().signal;
const writer = crypto.randomUUID() as WriterId;
const hello: JobInputPiece = { writer, offset: 0, bytes: new TextEncoder().encode("hello"), end: false };

/** A job whose keeper is told about, and says what it is told to. */
function setup({ takesWhole = true } = {}) {
  const sent: string[] = [];
  let listener: InputListener | undefined;
  const link = {
    takesWhole,
    listen: (_job: unknown, _writer: unknown, listening: InputListener) => {
      listener = listening;
      return { [Symbol.dispose]: () => (listener = undefined) };
    },
    send: (message: FrontMessage, bytes = new Uint8Array()) =>
      sent.push(
        [
          message.type,
          "offset" in message ? message.offset : "",
          "whole" in message ? "whole" : "",
          new TextDecoder().decode(bytes),
        ].join(" "),
      ),
    request: async ({ type }: { type: string }) => sent.push(type),
  };
  const job = new Job(createStart({ number: 7 }), link as unknown as KeeperLink, { next: 0, position: 0 });
  return { job, sent, say: () => listener, isHeard: () => listener !== undefined };
}

describe("deliver()", () => {
  test("sends a piece as a whole, and resolves when the keeper holds it", async () => {
    const { job, sent, say, isHeard } = setup();
    const delivered = deliver(job, hello, never);
    say()?.taken(0, 2);
    say()?.taken(3, 9);
    expect(sent).toEqual(["input 0 whole hello", "input 3 whole lo"]);
    expect(await Promise.race([delivered.then(() => "done"), Bun.sleep(20)])).toBeUndefined();
    say()?.taken(5, 9);
    await delivered;
    expect(isHeard()).toBe(false);
  });

  test("sends nothing while there is no room", async () => {
    const { job, sent, say } = setup();
    const delivered = deliver(job, hello, never);
    say()?.taken(0, 0);
    expect(sent).toEqual([]);
    say()?.taken(0, 1);
    say()?.taken(5, 5);
    await delivered;
    expect(sent).toEqual(["input 0 whole hello"]);
  });

  test("sends an older keeper as much as it takes", async () => {
    const { job, sent, say } = setup({ takesWhole: false });
    const delivered = deliver(job, hello, never);
    say()?.taken(0, 2);
    say()?.taken(2, 9);
    say()?.taken(5, 9);
    await delivered;
    expect(sent).toEqual(["input 0  he", "input 2  llo"]);
  });

  test("sends nothing that the keeper holds already", async () => {
    const { job, sent, say } = setup();
    const delivered = deliver(job, hello, never);
    say()?.taken(5, 9);
    await delivered;
    expect(sent).toEqual([]);
  });

  test("ends the input behind what was sent, and waits for a sign that the keeper knows", async () => {
    const { job, sent, say } = setup();
    const delivered = deliver(job, { ...hello, end: true }, never);
    say()?.taken(5, 9);
    await delivered;
    expect(sent).toEqual(["end_input 5  ", "ping"]);
  });

  test("refuses what begins behind what is held", async () => {
    const { job, sent, say } = setup();
    const delivered = deliver(job, { ...hello, offset: 9 }, never);
    say()?.taken(4, 9);
    expect(await delivered.catch((error) => [error.code, error.message])).toEqual([
      "invalid_input",
      "Cannot send input to job 7: this begins at 9, and 4 bytes came before",
    ]);
    expect(sent).toEqual([]);
  });

  test("throws input_closed where none is taken, and not_running where nobody is left to take it", async () => {
    const { job, say } = setup();
    const delivered = deliver(job, hello, never);
    say()?.closed();
    expect(await delivered.catch(({ code }) => code)).toBe("input_closed");
    job.close({ next: 1, position: 1 });
    expect(await deliver(job, hello, never).catch(({ code }) => code)).toBe("not_running");
  });

  test("stops waiting with the signal, and hears no more", async () => {
    const { job, isHeard } = setup();
    const stop = new AbortController();
    const delivered = deliver(job, hello, stop.signal);
    await eventually(isHeard);
    stop.abort(new Error("enough"));
    expect(await delivered.catch(({ message }) => message)).toBe("enough");
    expect(isHeard()).toBe(false);
  });
});
