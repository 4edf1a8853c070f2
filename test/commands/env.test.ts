import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import type { VariableChange, WorkspaceAccess } from "../../src/commands/access/workspace.ts";
import type { CommandContext } from "../../src/commands/context.ts";
import { env } from "../../src/commands/env.ts";
import { MAX_ENV } from "../../src/protocol/limits.ts";

/** A workspace that notes what it is told to change. */
function setup() {
  const changes: VariableChange[] = [];
  const workspace: Partial<WorkspaceAccess> = {
    name: "build",
    environment: JSON.parse('{"PATH":"/bin","__proto__":"x","CC":"clang"}'),
    changed: { set: ["CC"], unset: ["DISPLAY"] },
    change: async (change: VariableChange) => void changes.push(change),
  };
  const run = (input: v.InferInput<typeof env.input>) =>
    env.run(v.parse(env.input, input), { workspace } as CommandContext);
  return { run, changes };
}

describe("env", () => {
  test("tells all that there is, and what of it is set and unset here", async () => {
    const { run, changes } = setup();
    const answer = await run({});
    expect(JSON.stringify(answer.variables)).toBe('{"PATH":"/bin","__proto__":"x","CC":"clang"}');
    expect(answer).toMatchObject({ set: ["CC"], unset: ["DISPLAY"] });
    expect(changes).toEqual([]);
    expect(env.cli.show(answer)).toBe("CC=clang\nPATH=/bin\n__proto__=x\nunset DISPLAY");
  });

  test("tells what was asked for and changed, and nothing else", async () => {
    const { run, changes } = setup();
    expect(await run({ names: ["PATH"], set: { CC: "gcc" }, unset: ["X"] })).toEqual({
      variables: { PATH: "/bin", CC: "clang" },
      set: ["CC"],
      unset: [],
    });
    expect(changes).toEqual([{ set: { CC: "gcc" }, unset: ["X"], inherit: [] }]);
  });

  test("changes nothing where a variable is asked for that is not there", async () => {
    const { run, changes } = setup();
    await expect(run({ names: ["toString"], set: { A: "1" } })).rejects.toMatchObject({
      code: "not_found",
      message: 'Cannot find variable "toString": it is not set in workspace "build"',
    });
    expect(changes).toEqual([]);
    await run({ names: ["A"], set: { A: "1" } });
  });

  test.each<[string, object]>([
    ["names a variable twice", { set: { A: "1" }, unset: ["A"] }],
    ["names a variable twice", { unset: ["A", "A"] }],
    ["must be a name without '='", { unset: ["A=B"] }],
    ["must be a name without '='", { set: { "": "1" } }],
    ["must not contain a NUL byte", { set: { A: "\0" } }],
    ["must be well-formed Unicode", { inherit: ["\ud800"] }],
    [`has more than ${MAX_ENV} names`, { names: Array(MAX_ENV + 1).fill("A") }],
  ])("refuses what %s", (sentence, input) => {
    const parsed = v.safeParse(env.input, input);
    expect(parsed.issues?.[0]?.message).toBe(sentence);
  });

  test("reads words as names and assignments", () => {
    const list = (name: string) => (name === "unset" ? ["X"] : []);
    const values = {
      flag: () => false,
      choice: () => undefined,
      text: () => undefined,
      list,
      rest: ["PATH", "A=1=2", "B="],
    };
    expect(env.cli.toInput(values)).toEqual({
      names: ["PATH"],
      set: { A: "1=2", B: "" },
      unset: ["X"],
      inherit: [],
    });
    expect(() => env.cli.toInput({ ...values, rest: ["=x"] })).toThrow(/write NAME=VALUE/);
  });

  test("shows no control of a value to a terminal", () => {
    expect(env.cli.show({ variables: { A: "\u001b[2J\nB=2" }, set: [], unset: [] })).toBe("A=\\x1b[2J\\nB=2");
  });
});
