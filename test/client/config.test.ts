import { chmodSync, chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { findTarget } from "../../src/client/config.ts";
import { defaultState } from "../../src/lib/state.ts";
import { openDirectory } from "../support/directory.ts";
import { testIf } from "../support/test-if.ts";

function setup(
  local: object | string = { url: "http://127.0.0.1:5", token: "local-token", pid: 1, version: "1" },
) {
  const directory = openDirectory();
  const path = join(directory.path, "local.json");
  const write = (content: object | string) =>
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content), { mode: 0o600 });
  write(local);
  return {
    path,
    env: { FARHAND_STATE: directory.path },
    write,
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

describe("findTarget()", () => {
  test("without a name finds this machine's server and its token", () => {
    using world = setup();
    const target = findTarget({}, world.env);
    expect(target).toMatchObject({
      host: { url: "http://127.0.0.1:5" },
      token: "local-token",
      isLocal: true,
    });
  });

  test("goes to the socket in local.json", () => {
    using world = setup({ url: "unix:/run/farhandd.sock", token: "t", pid: 1, version: "1" });
    for (const place of [{}, { host: "unix:/run/farhandd.sock" }])
      expect(findTarget(place, world.env)).toMatchObject({
        host: { socket: "/run/farhandd.sock" },
        token: "t",
      });
  });

  test("reads local.json again each time", () => {
    using world = setup();
    findTarget({}, world.env);
    world.write({ url: "http://127.0.0.1:6", token: "next", pid: 1, version: "1" });
    expect(findTarget({}, world.env)).toMatchObject({ host: { url: "http://127.0.0.1:6" }, token: "next" });
  });

  test("gives the local token to the address in local.json, and to no other", () => {
    using world = setup();
    expect(findTarget({ host: "localhost:5" }, world.env)).toMatchObject({
      host: { url: "http://127.0.0.1:5" },
      token: "local-token",
    });
    for (const host of ["127.0.0.1:6", "web1:5", "https://127.0.0.1:5", "[::1]:5"]) {
      expect(findTarget({ host }, world.env).token).toBeUndefined();
    }
  });

  test("takes options before the environment, and that before local.json", () => {
    using world = setup();
    const env = { ...world.env, FARHAND_HOST: "web2", FARHAND_TOKEN: "env-token" };
    expect(findTarget({}, env)).toMatchObject({ host: { url: "https://web2:9922" }, token: "env-token" });
    expect(findTarget({ host: "web1", token: "own" }, env)).toMatchObject({
      host: { url: "https://web1:9922" },
      token: "own",
      isLocal: false,
    });
    expect(findTarget({}, { ...world.env, FARHAND_TOKEN: "env-token" })).toMatchObject({
      host: { url: "http://127.0.0.1:5" },
      token: "env-token",
    });
  });

  test("takes an empty variable for one that is not set", () => {
    using world = setup();
    const env = { ...world.env, FARHAND_HOST: "", FARHAND_TOKEN: "" };
    expect(findTarget({}, env)).toMatchObject({ host: { url: "http://127.0.0.1:5" }, token: "local-token" });
    expect(defaultState({ FARHAND_STATE: "", XDG_STATE_HOME: "" })).toBe(defaultState({}));
  });

  test("says where it looked when there is no server", () => {
    using directory = openDirectory();
    expect(() => findTarget({ state: directory.path }, {})).toThrow(directory.path);
  });

  test.each(["{", "{}", '{"url":"http://web1","token":"t","pid":1,"version":"1"}'])(
    "refuses a local.json that says %s",
    (content) => {
      using world = setup(content);
      expect(() => findTarget({}, world.env)).toThrow(expect.objectContaining({ code: "unavailable" }));
    },
  );

  testIf(process.platform !== "win32", "Windows has no such modes").each([
    "644",
    "640",
    "604",
    "620",
    "602",
    "610",
    "666",
  ])("refuses a local.json of mode %s, and says how to close it", (mode) => {
    using world = setup();
    chmodSync(world.path, Number.parseInt(mode, 8));
    const message = `Cannot use "${world.path}": others may read or change it; run chmod 600 '${world.path}'`;
    const refused = expect.objectContaining({ code: "state_unusable", message });
    for (const host of [undefined, "127.0.0.1:5"])
      expect(() => findTarget({ host }, world.env)).toThrow(refused);
    chmodSync(world.path, 0o600);
    expect(findTarget({}, world.env)).toMatchObject({ token: "local-token" });
  });

  test("does not look at a local.json that is not asked for", () => {
    using world = setup();
    chmodSync(world.path, 0o666);
    expect(findTarget({ host: "127.0.0.1:5", token: "own" }, world.env)).toMatchObject({ token: "own" });
  });

  testIf(process.getuid?.() === 0, "other users' files and processes take root")(
    "refuses a local.json of another user, also for root",
    () => {
      using world = setup();
      chownSync(world.path, 12_345, 12_345);
      const message = `Cannot use "${world.path}": it belongs to user 12345, not 0; run farhand as that user`;
      expect(() => findTarget({}, world.env)).toThrow(
        expect.objectContaining({ code: "state_unusable", message }),
      );
    },
  );

  test("keeps trying only for tokens of servers on this machine", () => {
    using directory = openDirectory();
    const env = { FARHAND_STATE: directory.path, FARHAND_CONFIG_HOME: directory.path };
    expect(findTarget({ host: "127.0.0.1:6" }, env).isLocal).toBe(true);
    expect(findTarget({ host: "web1" }, env).isLocal).toBe(false);
  });

  test("refuses a token that would break a header", () => {
    expect(() => findTarget({ host: "web1", token: "a\r\nHost: b" }, {})).toThrow("Cannot use the token");
  });
});
