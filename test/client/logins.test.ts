import { describe, expect, test } from "bun:test";
import type { Target } from "../../src/client/config.ts";
import { parseHost } from "../../src/client/host.ts";
import { Logins } from "../../src/client/logins.ts";
import { Pool } from "../../src/client/pool.ts";
import { openFakeServer } from "../support/fake-server.ts";

const never = new AbortController().signal;

/** A server that gives ann a new token for her password each time, good for so many milliseconds. */
function setup(life: number | undefined) {
  let given = 0;
  const valid = new Set<string>();
  const server = openFakeServer({
    async respond(request) {
      if (request.method === "GET") {
        const token = request.headers.get("authorization")?.replace("Bearer ", "") ?? "";
        return valid.has(token) ? undefined : new Response("", { status: 401 });
      }
      const { user, password } = (await request.json()) as Record<string, unknown>;
      if (user !== "ann" || password !== "secret") return new Response("", { status: 401 });
      const token = `fh_${++given}`;
      valid.add(token);
      return Response.json({ token, name: "x", user, ...(life && { expires: Date.now() + life }) });
    },
  });
  const target: Target = { host: parseHost(server.url), token: "other", isLocal: true };
  return {
    server,
    target,
    valid,
    given: () => given,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

describe("Logins", () => {
  test.each<[string, number | undefined, readonly string[]]>([
    ["for as long as it is good", 3_600_000, ["fh_1", "fh_1"]],
    ["for ever, where it has no end", undefined, ["fh_1", "fh_1"]],
    ["no longer than that", 20_000, ["fh_1", "fh_2"]],
  ])("uses a token %s", async (_what, life, tokens) => {
    await using world = setup(life);
    const logins = new Logins({ user: "ann", password: "secret" });
    for (const token of tokens)
      expect(await logins.enter(world.target, never)).toEqual({ ...world.target, token, isLocal: false });
  });

  test("says what is wrong, and asks again the next time", async () => {
    await using world = setup(undefined);
    const logins = new Logins({ user: "ann", password: "wrong" });
    for (let time = 0; time < 2; time++)
      await expect(logins.enter(world.target, never)).rejects.toMatchObject({ code: "unauthenticated" });
    expect(logins.forget()).toBe(false);
  });
});

describe("A member with user and password", () => {
  test("logs in once, and once more where its token is refused", async () => {
    await using world = setup(undefined);
    await using pool = new Pool({ FARHAND_TOKEN: "env", FARHAND_CONFIG_HOME: "/nowhere" });
    const member = pool.add(world.server.url, { user: "ann", password: "secret" });
    await member.connect();
    await member.disconnect();
    await member.connect();
    expect(world.given()).toBe(1);
    await member.disconnect();
    world.valid.clear();
    await member.connect();
    expect(world.given()).toBe(2);
  });

  test("gives up where the new token is refused as well", async () => {
    await using world = setup(undefined);
    world.valid.add = () => world.valid;
    await using pool = new Pool({ FARHAND_CONFIG_HOME: "/nowhere" });
    const member = pool.add(world.server.url, { user: "ann", password: "secret" });
    await expect(member.connect({ timeout: 20_000 })).rejects.toMatchObject({ code: "unauthenticated" });
    expect(world.given()).toBe(2);
  });
});

test("Pool.add() refuses what cannot be meant", () => {
  const pool = new Pool({ FARHAND_CONFIG_HOME: "/nowhere" });
  const refused = expect.objectContaining({ code: "invalid_input" });
  for (const options of [
    { user: "ann" },
    { password: "secret" },
    { user: "ann", password: "secret", token: "t" },
    { pin: "sha256:x" },
  ])
    expect(() => pool.add("web1", options)).toThrow(refused);
  expect(() => pool.add("http://192.0.2.1")).toThrow(refused);
  const plain = pool.add("http://192.0.2.1", { insecure: true });
  expect(plain.url).toBe("http://192.0.2.1");
  const member = pool.add("web1", { user: "ann", password: "secret", ca: "a.pem" });
  expect(pool.add("web1", { user: "ann", password: "secret" })).toBe(member);
  for (const other of [{ user: "ann", password: "other" }, { ca: "b.pem" }, { token: "t" }])
    expect(() => pool.add("web1", other)).toThrow("it is there with another");
});
