import { describe, expect, test } from "bun:test";
import { createToken, findToken, formatToken, narrowToken } from "../../../src/protocol/token.ts";
import { isSameLogin } from "../../../src/server/auth/identity.ts";
import { openLocalToken, toBearer } from "../../../src/server/auth/local.ts";

describe("openLocalToken()", () => {
  test("knows its own token only", () => {
    const { token, authenticate } = openLocalToken();
    expect(authenticate(token, "::1")).toMatchObject({
      owner: "local",
      token: "local",
      source: "::1",
      chain: [],
    });
    const other = formatToken(createToken());
    const mixed = token.slice(0, 20) + other.slice(20);
    const others = [undefined, "", "fh_", token.slice(0, -1), `${token}x`, token.toUpperCase(), other, mixed];
    for (const text of others) expect(authenticate(text, "::1")).toBeUndefined();
  });

  test("lets in who has a token that was narrowed from it, to do less, as a login of its own", () => {
    const { token, authenticate } = openLocalToken();
    const own = findToken(token);
    if (own === undefined) throw new Error("The token has another form");
    const narrowed = narrowToken(own, { commands: ["ping"] });
    const [whole, less] = [token, formatToken(narrowed)].map((text) => authenticate(text, "::1"));
    if (whole === undefined || less === undefined) throw new Error("Not let in");
    expect(less).toMatchObject({ owner: "local", token: "local" });
    expect(isSameLogin(whole, less)).toBe(false);
    expect(() => less.grants.demandCommand({ name: "ping", permission: "read" })).not.toThrow();
    expect(() => less.grants.demandCommand({ name: "exec", permission: "exec" })).toThrow("narrowed");
    expect(() => whole.grants.demandCommand({ name: "exec", permission: "exec" })).not.toThrow();
  });
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
