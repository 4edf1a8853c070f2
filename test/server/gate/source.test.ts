import { describe, expect, test } from "bun:test";
import { toNeighbour, toSource } from "../../../src/server/gate/source.ts";

describe("toSource()", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::", "2001:db8:1:2::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["127.0.0.1", "loopback"],
    ["127.200.3.4", "loopback"],
    ["::ffff:127.0.0.1", "loopback"],
    ["::1", "loopback"],
    ["unix", undefined],
    ["what nobody can read", "what nobody can read"],
  ])("of %s is %s", (address, source) => {
    expect(toSource(address)).toBe(source);
  });
});

test("toNeighbour() tells addresses of loopback apart, and nobody else within a /64", () => {
  const neighbours = ["127.0.0.1", "127.0.0.2", "2001:db8::1", "2001:db8::2"].map(toNeighbour);
  expect(new Set(neighbours).size).toBe(3);
});
