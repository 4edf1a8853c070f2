import { expect, test } from "bun:test";
import * as v from "valibot";
import { CLOSE, toCloseCode } from "../../src/protocol/close.ts";
import { AppError, ErrorBody, ErrorCode, fromErrorBody, toErrorBody } from "../../src/protocol/error.ts";

test("AppError crosses the wire with code, message and details, and without its cause or stack", () => {
  const error = new AppError("not_found", "Cannot find it", {
    details: { job: 7 },
    cause: new Error("secret"),
  });
  const body = toErrorBody(error);
  expect(body).toEqual({ code: "not_found", message: "Cannot find it", details: { job: 7 } });
  expect(v.parse(ErrorBody, JSON.parse(JSON.stringify(body)))).toEqual(body);
  expect(fromErrorBody(body)).toMatchObject({
    code: "not_found",
    message: "Cannot find it",
    details: { job: 7 },
  });
  expect(toErrorBody(new AppError("not_found", "x"))).toEqual({ code: "not_found", message: "x" });
});

test("toErrorBody tells nothing of an error that is not meant for the wire", () => {
  for (const error of [new Error("password in /etc/secret"), "text", undefined, { code: "not_found" }]) {
    expect(toErrorBody(error)).toEqual({
      code: "internal",
      message: "The server failed unexpectedly: its log says why",
    });
  }
});

test("toCloseCode has a close code for every error code, all from the application's range or the standard's", () => {
  for (const code of ErrorCode.options) {
    const close = toCloseCode(code);
    expect(close === 1011 || close === 1012 || (close >= 4000 && close < 5000), code).toBe(true);
  }
  expect(toCloseCode("sequence_gap")).toBe(CLOSE.sequenceGap);
  expect(new Set(Object.values(CLOSE)).size).toBe(Object.values(CLOSE).length);
});
