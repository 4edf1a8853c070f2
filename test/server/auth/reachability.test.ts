import { expect, test } from "bun:test";
import { hostname } from "node:os";
import { toUrls } from "../../../src/server/auth/reachability.ts";

test("toUrls() begins with what others can reach, by name", () => {
  expect(toUrls(["127.0.0.1:1", "https://192.0.2.7:2"], ["web1.lab"])).toEqual([
    "https://web1.lab:2",
    "https://192.0.2.7:2",
  ]);
});

test("toUrls() names loopback, which is another machine elsewhere, only where there is nothing else", () => {
  expect(toUrls(["127.0.0.1:1", "[::1]:1"], ["web1.lab"])).toEqual(["http://127.0.0.1:1", "http://[::1]:1"]);
});

test("toUrls() names the machine for an address that stands for all of its", () => {
  const urls = toUrls(["https://[::]:9922", "https://0.0.0.0:9922"], []);
  expect(urls[0]).toBe(`https://${hostname()}:9922`);
  expect(urls.filter((url) => /0\.0\.0\.0|\[::\]|127\.0\.0\.1|\[fe80/.test(url))).toEqual([]);
  expect(new Set(urls).size).toBe(urls.length);
  expect(urls.length).toBeLessThanOrEqual(16);
});

test("toUrls() says the port, also one that a scheme has by itself, and brackets around IPv6", () => {
  expect(toUrls(["https://[2001:db8::1]:443", "http://web1.lab:80"], [])).toEqual([
    "https://[2001:db8::1]:443",
    "http://web1.lab:80",
  ]);
});

test("toUrls() knows no way to a socket of this machine", () => {
  expect(toUrls(["unix:/run/farhand.sock"], ["web1.lab"])).toEqual([]);
});
