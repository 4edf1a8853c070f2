import { describe, expect, test } from "bun:test";
import { parseArguments } from "../../src/cli/arguments.ts";
import { globalArgs, toGlobals, withGlobals } from "../../src/cli/globals.ts";

const read = (...words: string[]) =>
  toGlobals(parseArguments(words, { args: globalArgs, rest: false, takesRest: false }));

describe("toGlobals", () => {
  test("leaves open what is not said", () => {
    const { heartbeat, connectTimeout, host, json, logLevel } = read();
    expect({ heartbeat, connectTimeout, host }).toEqual({
      heartbeat: undefined,
      connectTimeout: undefined,
      host: undefined,
    });
    expect({ json, logLevel }).toEqual({ json: false, logLevel: "warn" });
  });

  test("reads durations as milliseconds, those to connect without bounds", () => {
    expect(read("--heartbeat", "1s").heartbeat).toBe(1_000);
    expect(read("--heartbeat", "1h").heartbeat).toBe(3_600_000);
    expect(read("--connect-timeout", "0s").connectTimeout).toBe(0);
    expect(read("--connect-timeout", "30d").connectTimeout).toBe(30 * 86_400_000);
  });

  test.each(["0s", "999ms", "61m", "100d"])("refuses a heartbeat of %s with the bounds", (text) => {
    expect(() => read("--heartbeat", text)).toThrow(
      expect.objectContaining({
        code: "invalid_input",
        message: `Cannot use --heartbeat "${text}": choose one from 1s to 1h`,
      }),
    );
  });
});

describe("withGlobals()", () => {
  const args = { watch: { type: "boolean", alias: "w", description: "Watch" } } as const;
  const read = (...words: string[]) =>
    parseArguments(words, { args: withGlobals(args), rest: false, takesRest: false });

  test("gives a letter to the verb that has it itself", () => {
    expect(read("-w").flag("watch")).toBe(true);
    expect(read("-w").text("workspace")).toBeUndefined();
    expect(read("--workspace", "build", "-H", "web1").text("workspace")).toBe("build");
  });

  test("leaves every other letter to the global options", () => {
    const other = parseArguments(["-wbuild"], { args: withGlobals({}), rest: false, takesRest: false });
    expect(other.text("workspace")).toBe("build");
  });
});
