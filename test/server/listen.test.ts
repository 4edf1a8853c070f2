import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { AppError } from "../../src/protocol/error.ts";
import {
  addLocal,
  divide,
  formatAddress,
  isExposed,
  isLoopback,
  parseListen,
} from "../../src/server/listen.ts";

describe("parseListen()", () => {
  test.each([
    ["127.0.0.1:9922", "127.0.0.1", 9922],
    ["127.0.0.1", "127.0.0.1", 9922],
    ["127.0.0.1:0", "127.0.0.1", 0],
    ["127.255.255.254:65535", "127.255.255.254", 65_535],
    ["localhost", "localhost", 9922],
    ["localhost:1", "localhost", 1],
    ["8022", "127.0.0.1", 8022],
    [":8022", "127.0.0.1", 8022],
    ["[::1]:9922", "::1", 9922],
    ["[::1]", "::1", 9922],
    ["::1", "::1", 9922],
    ["0.0.0.0", "0.0.0.0", 9922],
    ["[::]:9922", "::", 9922],
    ["::", "::", 9922],
    ["192.168.1.1:1", "192.168.1.1", 1],
    ["Web1.example.com:9922", "web1.example.com", 9922],
    ["[::ffff:127.0.0.1]:1", "::ffff:7f00:1", 1],
    ["[0:0:0:0:0:0:0:1]:1", "::1", 1],
    ["[2001:DB8:0::1]", "2001:db8::1", 9922],
  ])("reads %s", (text, host, port) => {
    expect(parseListen(text)).toEqual({ type: "tcp", host, port });
  });

  test("reads a Unix socket's path, which is absolute from then on", () => {
    expect(parseListen("unix:/run/a b.sock")).toEqual({ type: "unix", path: "/run/a b.sock" });
    expect(parseListen("unix:here.sock")).toEqual({ type: "unix", path: join(process.cwd(), "here.sock") });
    for (const text of ["unix:", "unix:/a\0b"]) expect(() => parseListen(text)).toThrow("name a path");
  });

  test.each([
    "127.0.0.1:65536",
    "127.0.0.1:",
    "127.0.0.1:x",
    "127.0.0.1:-1",
    "[::1",
    "::1]:1",
    "a b",
    "1:2:3",
    "127.999.0.1:0",
    "127.0.0.256",
    "*:9922",
    "[web1]:1",
    "[fe80::1%lo]:1",
    "[127.0.0.1]:1",
    "-x:1",
    "http://web1",
  ])("refuses %j and says how to write it", (text) => {
    expect(() => parseListen(text)).toThrow(
      new AppError(
        "invalid_config",
        `Cannot listen on "${text}": write host:port, such as 127.0.0.1:9922, [::1]:9922 or 0.0.0.0:9922, or unix:/path`,
      ),
    );
  });
});

describe("isExposed()", () => {
  test.each([
    "0.0.0.0",
    "::",
    "192.168.1.1",
    "127.0.0.1.example.com",
    "127.1",
    "[::ffff:127.0.0.1]:1",
    "localhost.lab",
  ])("%s can be read by whoever is on the way", (text) => {
    expect(isExposed(parseListen(text))).toBe(true);
  });

  test.each(["127.0.0.1", "localhost", "[::1]:1", "127.9.9.9:1", "unix:/a"])(
    "%s leaves no machine",
    (text) => {
      expect(isExposed(parseListen(text))).toBe(false);
    },
  );
});

describe("addLocal()", () => {
  const exposed = parseListen("0.0.0.0:1");

  test("adds a socket in the state directory where all addresses are exposed", () => {
    expect(addLocal([exposed], "/state")).toEqual([exposed, { type: "unix", path: "/state/server.sock" }]);
    for (const text of ["127.0.0.1:1", "unix:/a"]) {
      const addresses = [exposed, parseListen(text)];
      expect(addLocal(addresses, "/state")).toEqual(addresses);
    }
  });

  test("adds a port of loopback where the path would be too long", () => {
    expect(addLocal([exposed], `/${"x".repeat(100)}`).at(-1)).toEqual({
      type: "tcp",
      host: "127.0.0.1",
      port: 0,
    });
  });
});

test("divide() leaves IPv4 to another address of the same port, and to nobody else", () => {
  const isDivided = (...texts: string[]) =>
    divide(texts.map(parseListen)).map((address) => address.type === "tcp" && address.isIPv6Only === true);
  expect(isDivided("[::]:1", "0.0.0.0:1")).toEqual([true, false]);
  expect(isDivided("10.1.2.3:1", "[::]:1", "[::]:2")).toEqual([false, true, false]);
  expect(isDivided("[::]:0", "0.0.0.0:0")).toEqual([false, false]);
  expect(isDivided("[::1]:1", "127.0.0.1:1", "unix:/a")).toEqual([false, false, false]);
});

test("formatAddress() writes what parseListen() reads", () => {
  for (const text of ["127.0.0.1:9922", "[::1]:1", "localhost:65535", "unix:/a b"])
    expect(formatAddress(parseListen(text))).toBe(text);
});

test("isLoopback() answers for hosts, never for what only looks like one", () => {
  for (const host of ["localhost", "::1", "127.0.0.1", "127.1.2.3"]) expect(isLoopback(host)).toBe(true);
  for (const host of [
    "",
    "::",
    "127.0.0.1.evil.example",
    "evil-127.0.0.1",
    "LOCALHOST.evil",
    "1270.0.0.1",
    "10.0.0.1",
    "127.999.0.1",
  ])
    expect(isLoopback(host)).toBe(false);
});
