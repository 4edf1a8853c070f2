import { expect, test } from "bun:test";
import { Mailbox } from "../../src/lib/mailbox.ts";

function setup() {
  const mailbox = new Mailbox<number>();
  const read: number[] = [];
  const reading = (async () => {
    for await (const item of mailbox) read.push(item);
  })();
  return { mailbox, read, reading };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("Mailbox gives what was pushed before and during the iteration, in order, and ends when it is closed", async () => {
  const mailbox = new Mailbox<number>();
  mailbox.push(1);
  mailbox.push(2);
  expect(mailbox.size).toBe(2);
  const read: number[] = [];
  for await (const item of mailbox) {
    read.push(item);
    if (item === 1) mailbox.push(3);
    if (item === 3) mailbox.close();
  }
  expect(read).toEqual([1, 2, 3]);
});

test("Mailbox wakes a reader that waits, each time", async () => {
  const { mailbox, read, reading } = setup();
  for (const item of [1, 2, 3]) {
    await turn();
    mailbox.push(item);
    await turn();
    expect(read.at(-1)).toBe(item);
  }
  mailbox.close();
  await reading;
  expect(read).toEqual([1, 2, 3]);
});

test("Mailbox gives what is queued before it ends or fails", async () => {
  const { mailbox, read, reading } = setup();
  const failure = new Error("failed");
  mailbox.push(1);
  mailbox.push(2);
  mailbox.fail(failure);
  expect(await reading.catch((error) => error)).toBe(failure);
  expect(read).toEqual([1, 2]);
});

test("Mailbox fails a reader that waits", async () => {
  const { mailbox, reading } = setup();
  await turn();
  mailbox.fail(new Error("failed"));
  expect(await reading.catch((error) => error.message)).toBe("failed");
});

test("Mailbox drops what is pushed after its end, and keeps its first end", async () => {
  const { mailbox, read, reading } = setup();
  mailbox.close();
  mailbox.push(1);
  mailbox.fail(new Error("too late"));
  await reading;
  expect(read).toEqual([]);
});
