import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/protocol/error.ts";
import { parseFlags, toConfigFlags, toStopRequest } from "../../src/server/flags.ts";

describe("parseFlags()", () => {
  test("reads options and what stands alone, in any order", () => {
    const flags = parseFlags("service", ["--user", "install", "--listen", "a:1", "--listen", "b:2"]);
    expect(flags).toMatchObject({ action: "install", user: true, listen: ["a:1", "b:2"] });
    expect(toConfigFlags(flags)).toMatchObject({ listen: ["a:1", "b:2"], state: undefined });
  });

  test("reads what TLS takes, and names more than once", () => {
    const args = [
      "--name",
      "a",
      "--name",
      "b",
      "--cert",
      "c",
      "--key",
      "k",
      "--client-ca",
      "ca",
      "--insecure",
    ];
    expect(toConfigFlags(parseFlags("serve", args))).toMatchObject({
      names: ["a", "b"],
      tls: { cert: "c", key: "k", clientCa: "ca", insecure: true },
    });
    expect(toConfigFlags(parseFlags("serve", []))).toMatchObject({ names: [], tls: {} });
  });

  test.each([
    ["serve", ["now"], 'unexpected argument "now"'],
    ["service", ["install", "now"], '"now" is too much'],
    ["service", ["--nope"], 'unknown option "--nope"'],
    ["stop", ["--listen", "a:1"], 'unknown option "--listen"'],
    ["stop", ["--background"], 'unknown option "--background"'],
    ["status", ["--state"], 'option "--state <value>" argument missing'],
  ] as const)("refuses %s %j in a sentence", (verb, args, why) => {
    let message: unknown;
    try {
      parseFlags(verb, args);
    } catch (error) {
      message = error instanceof AppError ? error.message : error;
    }
    expect(message).toBe(`Cannot read the command line: ${why}`);
  });
});

describe("toStopRequest()", () => {
  test("ends jobs only when that is said, after 5 s unless told otherwise", () => {
    expect(toStopRequest({})).toEqual({});
    expect(toStopRequest({ jobs: true })).toEqual({ jobs: { grace: 5_000 } });
    expect(toStopRequest({ jobs: true, grace: "250ms" })).toEqual({ jobs: { grace: 250 } });
  });

  test.each([{ grace: "1s" }, { jobs: true, grace: "soon" }, { jobs: true, grace: "61m" }])(
    "refuses %j",
    (flags) => {
      expect(() => toStopRequest(flags)).toThrow("Cannot");
    },
  );
});

test("parseFlags() reads what a verb is told to do, and options of it that are repeated", () => {
  const args = ["create", "ci", "--role", "viewer", "--role", "operator", "--state", "/s"];
  expect(parseFlags("token", args)).toMatchObject({ name: "ci", role: ["viewer", "operator"], state: "/s" });
  for (const wrong of [[], ["mint"], ["constructor"], ["--state", "/s"]])
    expect(() => parseFlags("token", wrong)).toThrow("say create, list, revoke, rotate");
});
