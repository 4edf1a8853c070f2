import { describe, expect, test } from "bun:test";
import { isExposed, isSameLocal, isSecure, isThisMachine, parseHost } from "../../src/client/host.ts";

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

  test("takes an address without TLS where that is asked for", () => {
    const host = parseHost("http://web1:5", undefined, { insecure: true });
    expect(host.url).toBe("http://web1:5");
    expect([isSecure(host), isExposed(host)]).toEqual([false, true]);
    // What says nothing of a scheme has TLS all the same.
    expect(parseHost("web1:5", undefined, { insecure: true }).url).toBe("https://web1:5");
    for (const text of ["127.0.0.1", "http://localhost:5", "[::1]:5", "unix:/s", "https://web1"])
      expect(isExposed(parseHost(text))).toBe(false);
  });

  test.each(["unix:/run/farhandd.sock", "unix:///run/farhandd.sock", "UNIX:/run/x/../farhandd.sock"])(
    "reads %s",
    (text) => {
      const host = parseHost(text);
      expect(host).toEqual({
        url: "unix:/run/farhandd.sock",
        channel: "ws+unix:///run/farhandd.sock:/v1/channel",
        socket: "/run/farhandd.sock",
      });
      expect([isSecure(host), isThisMachine(host)]).toEqual([false, true]);
    },
  );

  test.each(["unix:", "unix:relative", "unix:/a b", "unix:/a:b", "unix:/a%20b", `unix:/${"x".repeat(103)}`])(
    "refuses %s",
    (text) => {
      expect(() => parseHost(text)).toThrow(expect.objectContaining({ code: "invalid_input" }));
    },
  );

  test("repeats no password that was written into an address", () => {
    for (const text of ["https://ann:hunter2@web1", "ann:hunter2@web1", "http://ann:hunter2@web1:5/x"]) {
      const refuse = () => parseHost(text);
      expect(refuse).toThrow("Cannot use host");
      expect(refuse).not.toThrow("hunter2");
    }
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
