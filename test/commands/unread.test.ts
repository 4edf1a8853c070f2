import { expect, test } from "bun:test";
import { showUnread, toUnreadCode, UnreadList } from "../../src/commands/unread.ts";
import { AppError } from "../../src/protocol/error.ts";

function refused(path: string): AppError {
  return new AppError("os_error", `Cannot list "${path}"`);
}

test("UnreadList counts everything, and keeps the first few", () => {
  const list = new UnreadList();
  for (let number = 0; number < 1_000; number++) list.add(refused(String(number)));
  const unread = list.toResult();
  expect([unread.count, unread.errors.length, unread.errors[0]?.message]).toEqual([
    1_000,
    20,
    'Cannot list "0"',
  ]);
  expect(showUnread(unread)).toBe('Cannot list "0"; Cannot list "1"; Cannot list "2"; and 997 more');
  expect(toUnreadCode(unread)).toBe(1);
});

test("UnreadList says nothing when all was read, and passes on what is no refusal", () => {
  const list = new UnreadList();
  expect([showUnread(list.toResult()), toUnreadCode(list.toResult())]).toEqual([undefined, 0]);
  expect(() => list.add(new AppError("cancelled", "The caller cancelled"))).toThrow("The caller cancelled");
  expect(() => list.add(new TypeError("a mistake of ours"))).toThrow(TypeError);
});
