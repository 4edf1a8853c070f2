import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, lstatSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkPrivate, clearSocket, openPrivately } from "../../src/server/socket.ts";
import { openDirectory } from "../support/directory.ts";

function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "a.sock");
  const open = () => Bun.listen({ unix: path, socket: { data() {} } });
  return { path, open, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

describe("openPrivately()", () => {
  test("makes a socket with 0600 whatever the umask is, and leaves that as it was", () => {
    using world = setup();
    const before = process.umask(0);
    try {
      using _listener = openPrivately(world.open);
      expect(lstatSync(world.path).mode & 0o777).toBe(0o600);
      expect(process.umask()).toBe(0);
      expect(() => openPrivately(() => expect.unreachable())).toThrow();
      expect(process.umask()).toBe(0);
    } finally {
      process.umask(before);
    }
  });
});

describe("checkPrivate()", () => {
  test("gives back what serves a socket that is closed to others, and ends what serves one that is not", () => {
    using world = setup();
    using _listener = openPrivately(world.open);
    let stopped = 0;
    const server = { stop: () => void stopped++ };
    expect(checkPrivate(world.path, server)).toBe(server);
    for (const mode of [0o666, 0o660, 0o606, 0o700]) {
      chmodSync(world.path, mode);
      expect(() => checkPrivate(world.path, server)).toThrow("its file system cannot keep others from it");
    }
    expect(stopped).toBe(4);
  });
});

describe("clearSocket()", () => {
  test("leaves what is answered and what is no socket, and has nothing against nothing", async () => {
    using world = setup();
    await clearSocket(world.path);
    using listener = world.open();
    await expect(clearSocket(world.path)).rejects.toThrow("another server answers there");
    expect(existsSync(world.path)).toBe(true);
    listener.stop(true);
    writeFileSync(world.path, "precious");
    await expect(clearSocket(world.path)).rejects.toThrow("there is something that is no socket");
    expect(existsSync(world.path)).toBe(true);
  });
});
