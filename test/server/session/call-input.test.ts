import { describe, expect, test } from "bun:test";
import { turn } from "../../../src/lib/abort.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { CALL_WINDOW_BYTES } from "../../../src/protocol/limits.ts";
import { CallInput } from "../../../src/server/session/call-input.ts";

function setup() {
  const call = new AbortController();
  const input = new CallInput(call.signal);
  const told: [held: number, limit: number][] = [];
  let closed = 0;
  const listening = input.listen({
    taken: (held, limit) => told.push([held, limit]),
    closed: () => closed++,
  });
  return { call, input, told, listening, closed: () => closed };
}

async function readText(input: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(input)).toString();
}

describe("CallInput", () => {
  test("gives its bytes in order, to the end that was sent", async () => {
    const { input } = setup();
    const text = readText(input);
    input.write(0, Buffer.from("one "));
    await turn();
    input.write(4, Buffer.from("two"));
    input.end();
    expect(await text).toBe("one two");
  });

  test("grants a window beyond what the command has taken", async () => {
    const { input, told } = setup();
    expect(told).toEqual([[0, CALL_WINDOW_BYTES]]);
    input.write(0, Buffer.from("12345"));
    await input[Symbol.asyncIterator]().next();
    expect(told.at(-1)).toEqual([5, 5 + CALL_WINDOW_BYTES]);
  });

  test("says to another channel what it holds, and takes nothing twice", async () => {
    const { input, listening } = setup();
    input.write(0, Buffer.from("abc"));
    listening[Symbol.dispose]();
    const again: number[] = [];
    input.listen({ taken: (held) => again.push(held), closed() {} });
    expect(again).toEqual([3]);
    input.write(1, Buffer.from("bcdef"));
    input.end();
    expect(await readText(input)).toBe("abcdef");
  });

  test("takes no byte twice where two channels lead to it", async () => {
    const { input } = setup();
    input.write(0, Buffer.from("abcd"));
    input.write(0, Buffer.from("ab"));
    input.write(2, Buffer.from("cdef"));
    input.end();
    expect(await readText(input)).toBe("abcdef");
  });

  test("tells a channel that comes after the end that it has everything", () => {
    const { input } = setup();
    input.end();
    let isClosed = false;
    input.listen({ taken() {}, closed: () => (isClosed = true) });
    expect(isClosed).toBe(true);
  });

  test("keeps its bytes though the frame that brought them is used again", async () => {
    const { input } = setup();
    const frame = Buffer.from("kept");
    input.write(0, frame);
    frame.fill(0);
    input.end();
    expect(await readText(input)).toBe("kept");
  });

  test("takes a caller that is lost for no end", async () => {
    const { call, input } = setup();
    input.write(0, Buffer.from("half"));
    const text = readText(input);
    await turn();
    call.abort(new AppError("connection_lost", "The client is gone"));
    await expect(text).rejects.toThrow("The client is gone");
  });

  test("tells the caller once that nobody takes any more, at its end and at the command's", () => {
    const ended = setup();
    ended.input.end();
    ended.input.close();
    expect(ended.closed()).toBe(1);
    const left = setup();
    left.input.close();
    left.input.write(0, Buffer.from("late"));
    expect(left.closed()).toBe(1);
  });
});
