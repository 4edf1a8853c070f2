import { describe, expect, test } from "bun:test";
import { createToken, openAuthenticator, toBearer } from "../../src/server/auth.ts";

describe("createToken()", () => {
  test("makes a different one each time, of 256 random bits behind a prefix", () => {
    const tokens = Array.from({ length: 100 }, createToken);
    expect(new Set(tokens).size).toBe(100);
    for (const token of tokens) expect(token).toMatch(/^fh_[\w-]{43}$/);
  });
});

describe("openAuthenticator()", () => {
  test("knows its own token only", () => {
    const token = createToken();
    const authenticate = openAuthenticator(token);
    expect(authenticate(token)).toBe("local");
    const others = [
      undefined,
      "",
      "fh_",
      token.slice(0, -1),
      `${token}x`,
      token.toUpperCase(),
      createToken(),
    ];
    for (const other of others) expect(authenticate(other)).toBeUndefined();
  });
});

describe("toBearer()", () => {
  test.each([
    ["Bearer fh_abc-_9", "fh_abc-_9"],
    ["bearer fh_abc", "fh_abc"],
    ["BEARER x", "x"],
  ])("reads %j", (header, token) => {
    expect(toBearer(header)).toBe(token);
  });

  test.each([
    undefined,
    "",
    "Bearer",
    "Bearer ",
    "Basic fh_abc",
    "Bearer a b",
    "Bearer a, Bearer b",
    "xBearer a",
    "Bearer é",
  ])("finds none in %j", (header) => {
    expect(toBearer(header)).toBeUndefined();
  });
});
