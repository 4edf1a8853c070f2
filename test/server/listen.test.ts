import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/protocol/error.ts";
import { formatAddress, isLoopback, parseListen } from "../../src/server/listen.ts";

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
  ])("reads %s", (text, host, port) => {
    expect(parseListen(text)).toEqual({ host, port });
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
  ])("refuses %j and says how to write it", (text) => {
    expect(() => parseListen(text)).toThrow(
      new AppError(
        "invalid_config",
        `Cannot listen on "${text}": write host:port, such as 127.0.0.1:9922 or [::1]:9922`,
      ),
    );
  });

  test.each([
    "0.0.0.0",
    "0.0.0.0:9922",
    "[::]:9922",
    "::",
    "*:9922",
    "192.168.1.1",
    "example.com:9922",
    "128.0.0.1",
    "127.0.0.1.example.com",
    "127.1",
    "[::ffff:127.0.0.1]:1",
    "localhost.example.com",
  ])("refuses %s: it is beyond loopback", (text) => {
    expect(() => parseListen(text)).toThrow("this version serves loopback only");
  });
});

test("formatAddress() writes what parseListen() reads", () => {
  for (const text of ["127.0.0.1:9922", "[::1]:1", "localhost:65535"])
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
