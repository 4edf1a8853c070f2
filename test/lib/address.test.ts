import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { toCanonicalAddress } from "../../src/lib/address.ts";

describe("toCanonicalAddress() writes", () => {
  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "0:0:0:0:0:0:0:1"],
    ["::", "0:0:0:0:0:0:0:0"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::ffff:c000:201", "192.0.2.1"],
    ["0:0:0:0:0:FFFF:C000:0201", "192.0.2.1"],
    ["2001:DB8::0001", "2001:db8:0:0:0:0:0:1"],
    ["fe80::1%eth0", "fe80:0:0:0:0:0:0:1"],
    ["64:ff9b::192.0.2.1", "64:ff9b:0:0:0:0:c000:201"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ])("%s as %s", (text, canonical) => {
    expect(toCanonicalAddress(text)).toBe(canonical);
  });

  test("every address that the URL parser knows, as one address", () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const url = `http://[${text}]/`;
        // It refuses some that have both a gap and an IPv4 address.
        const other = URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : text;
        expect(toCanonicalAddress(text)).toBe(toCanonicalAddress(other) ?? "none");
        expect(toCanonicalAddress(text)).toMatch(/^(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}|\d+(?:\.\d+){3})$/);
      }),
    );
  });

  test.each([
    "",
    "x",
    "1.2.3",
    "1:2:3",
    "1::2::3",
    ":1::",
    "1:::2",
    "::1.2.3.4.5",
    "12345::",
    "1.2.3.4:80",
    "::g",
  ])("nothing for %j", (text) => {
    expect(toCanonicalAddress(text)).toBeUndefined();
  });
});
