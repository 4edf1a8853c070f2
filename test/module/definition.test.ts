import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as v from "valibot";
import { inspect, readDefinitions, toTimeout } from "../../src/module/definition.ts";

const command = { name: "hello", summary: "Greets", run: () => {} };

describe("readDefinitions() reads", () => {
  test("a command, a list of them, a pack and a task from what a module exports", () => {
    const task = { exec: (_context: unknown, state: unknown) => state };
    const pack = { name: "tools", commands: [command], init: () => 1 };
    expect(readDefinitions({ default: command })).toEqual({ type: "commands", commands: [command] });
    expect(readDefinitions({ default: [command] })).toEqual({ type: "commands", commands: [command] });
    expect(readDefinitions({ default: pack })).toEqual({ type: "commands", pack, commands: [command] });
    expect(readDefinitions({ default: task })).toEqual({ type: "task", task });
  });

  test("a task whose functions are exported one by one", () => {
    const [init, exec] = [() => 0, () => 1];
    expect(readDefinitions({ init, exec, other: 1 })).toEqual({ type: "task", task: { init, exec } });
  });

  test("time limits in milliseconds and as they are written", () => {
    expect([toTimeout({ timeout: 1_500 }), toTimeout({ timeout: "2m" }), toTimeout({})]).toEqual([
      1_500,
      120_000,
      undefined,
    ]);
  });
});

describe("readDefinitions() refuses", () => {
  const cases: readonly (readonly [name: string, exports: unknown, sentence: string])[] = [
    ["no default export", {}, "it exports no definition"],
    ["an empty module", { default: {} }, "it exports no definition"],
    ["an empty list", { default: [] }, "it exports an empty list"],
    ["a name in camel case", { default: { ...command, name: "helloYou" } }, '"name" is not in kebab-case'],
    ["a summary that is missing", { default: { ...command, summary: undefined } }, '"summary" is missing'],
    ["a field that there is not", { default: { ...command, sumary: "x" } }, '"sumary" is no field of it'],
    [
      "a kind that there is not",
      { default: { ...command, kind: "daemon" } },
      '"kind" is "daemon", which should be',
    ],
    ["what is no schema", { default: { ...command, input: { a: 1 } } }, '"input" is no schema of v'],
    [
      "an asynchronous schema",
      { default: { ...command, input: v.objectAsync({}) } },
      '"input" is no schema of v',
    ],
    ["a time limit in words", { default: { ...command, timeout: "soon" } }, '"timeout" is neither'],
    [
      "a run that is no function",
      { default: { ...command, run: 1 } },
      'command "hello": "run" is no function',
    ],
    ["a name twice", { default: [command, command] }, 'two of its commands are called "hello"'],
    [
      "a pack without commands",
      { default: { name: "a", commands: [] } },
      'the pack: "commands" has no command in it',
    ],
    ["a task whose exec is none", { default: { exec: 1 } }, 'the task: "exec" is no function'],
    ["a task without exec", { default: { init: () => 1 } }, 'the task: "exec" is missing'],
  ];

  test.each(cases)("%s", (_name, exports, sentence) => {
    expect(() => readDefinitions(exports)).toThrow(sentence);
  });
});

test("inspect() finds what is wrong with anything that a module may export, and throws nothing", () => {
  const value = fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true, withMap: true });
  const fields = fc.dictionary(
    fc.constantFrom(
      "name",
      "summary",
      "run",
      "kind",
      "input",
      "commands",
      "exec",
      "timeout",
      "init",
      "__proto__",
    ),
    value,
  );
  fc.assert(
    fc.property(fc.oneof(value, fields, fc.array(fields)), (exported) => {
      for (const exports of [exported, { default: exported }]) {
        const found = inspect(exports);
        expect("faults" in found && found.faults.length > 0).toBe(true);
        if ("faults" in found) for (const { message } of found.faults) expect(message).toBeString();
      }
    }),
    { numRuns: 300 },
  );
}, 60_000);
