import { expect, test } from "bun:test";
import { toFailure, toPathDetails } from "../../../src/server/files/failure.ts";
import { AppError } from "../../../src/protocol/error.ts";

function refused(code: string): Error {
  return Object.assign(new Error("the engine's own words"), { code });
}

test("toFailure() says what was to be done, to what, and why not, and carries the system's code", () => {
  const failure = toFailure("read", Buffer.from("a\nb"), refused("EACCES"));
  expect(failure).toMatchObject({
    code: "os_error",
    message: 'Cannot read "a\\nb": permission denied (EACCES)',
    details: { os: "EACCES", path: "a\nb" },
  });
});

test("toFailure() carries the bytes of a path that is no UTF-8", () => {
  const path = Buffer.from("a\xffb", "latin1");
  expect(toFailure("read", path, refused("ENOENT"))).toMatchObject({
    message: 'Cannot read "a\\xffb": no such file or directory (ENOENT)',
    details: { path: "a\ufffdb", pathBytes: path.toString("base64") },
  });
});

test("toFailure() has a sentence for a code that it does not know, and leaves other errors alone", () => {
  expect(toFailure("read", Buffer.from("a"), refused("EUNHEARD"))).toMatchObject({
    message: 'Cannot read "a": the system refused (EUNHEARD)',
  });
  const others = [
    new TypeError("a mistake of ours"),
    refused("ERR_INVALID_ARG_TYPE"),
    new AppError("cancelled", "x"),
  ];
  for (const other of others) expect(toFailure("read", Buffer.from("a"), other)).toBe(other);
});

test("toPathDetails() gives bytes only where they are needed", () => {
  expect(toPathDetails(Buffer.from("grün"))).toEqual({ path: "grün" });
});
