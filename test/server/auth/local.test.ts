import { describe, expect, test } from "bun:test";
import { createLocalToken, toBearer } from "../../../src/server/auth/local.ts";
import { ADMIN } from "../../../src/server/auth/role.ts";

test("createLocalToken() makes another one for each start, which may do everything", () => {
  const [one, other] = [createLocalToken(), createLocalToken()];
  expect(one.token).not.toBe(other.token);
  expect(one.credential).toMatchObject({ shown: "local", owner: "local", roles: [ADMIN] });
  expect(JSON.stringify(one.credential)).not.toContain(one.token.slice(-43));
});

describe("toBearer()", () => {
  test.each([
    ["Bearer fh_abc-_9", "fh_abc-_9"],
    ["bearer fh_abc", "fh_abc"],
    ["Bearer fh_a.b.c_d", "fh_a.b.c_d"],
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
