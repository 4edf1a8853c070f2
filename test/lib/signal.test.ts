import { describe, expect, test } from "bun:test";
import { constants } from "node:os";
import { toSignalName, toSignalNumber } from "../../src/lib/signal.ts";

describe("toSignalNumber", () => {
  test("knows every name of this system", () => {
    for (const [name, number] of Object.entries(constants.signals)) expect(toSignalNumber(name)).toBe(number);
  });

  test("knows Linux's real-time signals everywhere: a server may have them where the client has none", () => {
    expect(["SIGRTMIN", "SIGRTMIN+3", "SIGRTMAX-2", "SIGRTMAX"].map(toSignalNumber)).toEqual([
      34, 37, 62, 64,
    ]);
  });

  test.each(["", "TERM", "SIG", "SIGNOPE", "SIG9", "SIGRTMIN+", "SIGRTMIN3", "SIGRTMIN+333", "toString"])(
    "does not know %p",
    (name) => expect(toSignalNumber(name)).toBeUndefined(),
  );
});

describe("toSignalName", () => {
  test("is what toSignalNumber reads, for every signal of Linux", () => {
    for (let number = 1; number <= 64; number++) expect(toSignalNumber(toSignalName(number))).toBe(number);
  });

  test("counts real-time signals from the first", () => {
    expect([2, 34, 35, 64].map(toSignalName)).toEqual(["SIGINT", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+30"]);
  });
});
