import { expect, test } from "bun:test";
import { findPortOwner } from "../../src/process/port.ts";
import { testIf } from "../support/test-if.ts";

const isLinux = process.platform === "linux";

testIf(isLinux, "a port's owner is found in /proc")(
  "findPortOwner() names the process that listens, on either family",
  () => {
    for (const hostname of ["127.0.0.1", "::1"]) {
      using listener = Bun.listen({ hostname, port: 0, socket: { data() {} } });
      expect(findPortOwner(listener.port)).toMatchObject({
        pid: process.pid,
        name: expect.stringMatching(/./),
      });
    }
  },
);

test("findPortOwner() is undefined for a port that nobody listens on", () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  expect(findPortOwner(port)).toBeUndefined();
});
