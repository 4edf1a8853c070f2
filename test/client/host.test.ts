import { describe, expect, test } from "bun:test";
import { isSameLocal, parseHost } from "../../src/client/host.ts";

describe("parseHost()", () => {
  test.each([
    ["web1", "https://web1:9922"],
    ["web1.lab:7", "https://web1.lab:7"],
    ["https://web1.lab", "https://web1.lab"],
    ["wss://web1.lab:1/deep/", "https://web1.lab:1/deep"],
    ["127.0.0.1", "http://127.0.0.1:9922"],
    ["127.0.0.2:80", "http://127.0.0.2"],
    ["localhost:5", "http://localhost:5"],
    ["LOCALHOST:5", "http://localhost:5"],
    ["[::1]:5", "http://[::1]:5"],
    ["::1", "http://[::1]:9922"],
    ["[0:0:0:0:0:0:0:1]:5", "http://[::1]:5"],
    ["::ffff:127.0.0.1", "http://127.0.0.1:9922"],
    ["[::ffff:127.0.0.9]:5", "http://127.0.0.9:5"],
    ["[::FFFF:7f00:1]:80", "http://127.0.0.1"],
    ["ws://[::ffff:127.0.0.1]:5", "http://127.0.0.1:5"],
    ["[::ffff:192.0.2.1]:5", "https://192.0.2.1:5"],
    ["https://[2001:DB8::1]:5/", "https://[2001:db8::1]:5"],
    ["127.1:5", "http://127.0.0.1:5"],
    ["fe80::1", "https://[fe80::1]:9922"],
    ["ws://127.0.0.1:5", "http://127.0.0.1:5"],
    ["http://localhost:5/", "http://localhost:5"],
  ])("reads %s", (text, url) => {
    const host = parseHost(text);
    expect(host.url).toBe(url);
    expect(host.channel).toBe(`${url.replace("http", "ws")}/v1/channel`);
  });

  test.each([
    [""],
    ["a b"],
    ["web1:"],
    ["web1:99999"],
    ["web1/path"],
    ["ftp://web1"],
    ["-H"],
    ["user:secret@web1"],
    ["https://user:secret@web1"],
    ["https://web1/?token=secret"],
    ["https://web1/#x"],
    ["https://"],
  ])("refuses %j", (text) => {
    expect(() => parseHost(text)).toThrow(expect.objectContaining({ code: "invalid_input" }));
  });

  test.each(["fe80::1%lo", "[fe80::1%lo]:5", "https://[fe80::1%25eth0]:5", "[::1%lo]"])(
    "refuses %s for its zone, which no URL has room for",
    (text) => {
      expect(() => parseHost(text)).toThrow("with a zone");
    },
  );

  test.each([
    "http://web1",
    "http://[::ffff:192.0.2.1]:5",
    "ws://10.0.0.1:9922",
    "http://127.0.0.1.evil.org",
    "http://localhost.evil.org",
  ])("refuses %s, which is no loopback and has no TLS", (text) => {
    expect(() => parseHost(text)).toThrow("without TLS");
  });

  test("takes the port it is given where the text has none", () => {
    expect(parseHost("web1", 7).url).toBe("https://web1:7");
    expect(parseHost("web1:8", 7).url).toBe("https://web1:8");
  });
});

test("isSameLocal() knows localhost, and no other name or port", () => {
  const local = parseHost("127.0.0.1:5");
  expect(isSameLocal(parseHost("localhost:5"), local)).toBe(true);
  expect(isSameLocal(parseHost("127.0.0.1:5"), local)).toBe(true);
  expect(isSameLocal(parseHost("127.0.0.1:6"), local)).toBe(false);
  expect(isSameLocal(parseHost("[::1]:5"), local)).toBe(false);
  expect(isSameLocal(parseHost("127.0.0.2:5"), local)).toBe(false);
});
