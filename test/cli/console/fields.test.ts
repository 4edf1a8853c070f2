import { expect, test } from "bun:test";
import { type Arguments, parseArguments } from "../../../src/cli/arguments.ts";
import { nameFields, toOptions } from "../../../src/cli/console/fields.ts";
import { splitWords } from "../../../src/cli/console/words.ts";
import type { Verb } from "../../../src/cli/verb.ts";

const common = { summary: "…", examples: [] };

/** What a verb is given for a line behind its name. */
async function given(
  verb: Omit<Verb, "run" | "summary" | "examples">,
  fields: readonly string[],
  line: string,
): Promise<object> {
  const seen: Arguments[] = [];
  const run = async (values: Arguments) => seen.push(values);
  const named = nameFields({ ...common, ...verb, run }, fields);
  const { args, rest, takesRest = false } = named;
  const words = toOptions(splitWords(line), named);
  await named.run(parseArguments(words, { args, rest: rest !== undefined, takesRest }), undefined as never);
  const [values] = seen;
  return {
    rest: values?.rest,
    ...Object.fromEntries(
      Object.keys(verb.args).map((name) => [name, values?.choice(name) ?? values?.text(name)]),
    ),
  };
}

const mv = { args: { force: { type: "boolean", description: "" } }, rest: "SOURCE TARGET" } as const;
const kill = {
  args: {
    job: { type: "positional", required: true, description: "" },
    signal: { type: "string", description: "" },
  },
} as const;

test("nameFields() puts what is named to its place, whatever comes first", async () => {
  expect(await given(mv, ["from", "to"], "a b")).toEqual({ rest: ["a", "b"], force: undefined });
  expect(await given(mv, ["from", "to"], "to=b a force=true")).toEqual({ rest: ["a", "b"], force: true });
  expect(await given(mv, ["from", "to"], "to=b from=a force=False")).toEqual({
    rest: ["a", "b"],
    force: false,
  });
  expect(await given(mv, ["paths"], "path=a b")).toEqual({ rest: ["a", "b"], force: undefined });
  expect(await given(kill, ["job"], "signal=TERM job=3")).toEqual({ rest: [], job: "3", signal: "TERM" });
  expect(await given(kill, ["job"], "3 --signal TERM")).toEqual({ rest: [], job: "3", signal: "TERM" });
});

test("nameFields() refuses what a verb would refuse", async () => {
  expect(given(kill, ["job"], "signal=TERM")).rejects.toThrow("JOB is missing");
  expect(given(kill, ["job"], "job=3 4")).rejects.toThrow('there is no place for "4"');
});

test("a quoted name=value is a word, as is one behind --, of a program, and where words are such", async () => {
  expect(await given(mv, ["from", "to"], "'to=b' c")).toMatchObject({ rest: ["to=b", "c"] });
  expect(await given(mv, ["from", "to"], "-- to=b c")).toMatchObject({ rest: ["to=b", "c"] });
  const exec = {
    args: { cwd: { type: "string", description: "" } },
    rest: "PROGRAM",
    takesRest: true,
  } as const;
  expect(await given(exec, [], "make cwd=/srv")).toEqual({ rest: ["make", "cwd=/srv"], cwd: undefined });
  const label = { args: kill.args, rest: "NAME=VALUE ..." } as const;
  expect(await given(label, [], "3 signal=x")).toEqual({ rest: ["signal=x"], job: "3", signal: undefined });
});
