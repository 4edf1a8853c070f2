import { describe, expect, test } from "bun:test";
import { parseArguments, parseCount } from "../../src/cli/arguments.ts";

const args = {
  job: { type: "positional", required: true, description: "" },
  env: { type: "string", alias: "e", multiple: true, description: "" },
  cwd: { type: "string", description: "" },
  detach: { type: "boolean", alias: "d", description: "" },
  stdin: { type: "boolean", description: "" },
  quiet: { type: "boolean", alias: "q", description: "" },
} as const;
const { job: _job, ...options } = args;

const parse = (...words: string[]) => parseArguments(words, { args, rest: false, takesRest: false });
const parseProgram = (...words: string[]) =>
  parseArguments(words, { args: options, rest: true, takesRest: true });

describe("parseArguments()", () => {
  test.each([
    [["--cwd", "/x", "3"]],
    [["--cwd=/x", "3"]],
    [["3", "--cwd", "/x"]],
    [["--cwd", "/x", "--", "3"]],
  ])("reads %j", (words) => {
    const values = parse(...words);
    expect([values.text("cwd"), values.text("job")]).toEqual(["/x", "3"]);
  });

  test("keeps every value of a repeated option, in order", () => {
    const values = parse("3", "-e", "A=1", "-eB=2", "--env=C=3", "-e=D=4");
    expect(values.list("env")).toEqual(["A=1", "B=2", "C=3", "D=4"]);
    expect(parse("3", "--cwd", "a", "--cwd", "b").text("cwd")).toBe("b");
  });

  test("reads switches, joined ones and negated ones", () => {
    const values = parse("-dq", "3", "--no-stdin");
    expect([values.flag("detach"), values.flag("quiet"), values.choice("stdin")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(values.choice("detach")).toBe(true);
    expect(parse("3").choice("stdin")).toBeUndefined();
  });

  test("takes empty and odd values as they are", () => {
    expect(parse("3", "--cwd", "").text("cwd")).toBe("");
    expect(parse("3", "--cwd=").text("cwd")).toBe("");
    expect(parse("3", "--cwd", "--detach").text("cwd")).toBe("--detach");
    expect(parse("-", "-d").text("job")).toBe("-");
  });

  test.each([
    [["3", "--bogus"], '"--bogus"'],
    [["3", "-x"], '"-x"'],
    [["3", "-dx"], '"-x"'],
    [["3", "--detach=yes"], "takes no value"],
    [["3", "--no-cwd"], '"--no-cwd"'],
    [["3", "--no-stdin=1"], "takes no value"],
    [["3", "--cwd"], "needs a value"],
    [["3", "--job", "4"], '"--job"'],
    [["3", "--constructor"], '"--constructor"'],
    [["3", "4"], 'no place for "4"'],
    [[], "JOB is missing"],
  ])("refuses %j", (words, why) => {
    expect(() => parse(...words)).toThrow(why);
  });

  test("leaves everything from the first plain word on alone", () => {
    const values = parseProgram("-d", "prog", "--help", "-d", "--", "--cwd");
    expect(values.rest).toEqual(["prog", "--help", "-d", "--", "--cwd"]);
    expect(values.flag("detach")).toBe(true);
  });

  test("leaves everything behind -- alone", () => {
    expect(parseProgram("--", "-d", "--", "x").rest).toEqual(["-d", "--", "x"]);
    expect(parseProgram("--").rest).toEqual([]);
  });

  test("puts what came before a verb and behind it together", () => {
    const before = parseProgram("-e", "A=1", "--cwd", "a");
    const values = parseProgram("-e", "B=2", "--cwd", "b", "-d").after(before);
    expect(values.list("env")).toEqual(["A=1", "B=2"]);
    expect([values.text("cwd"), values.flag("detach")]).toEqual(["b", true]);
  });
});

test("parseCount() reads whole numbers only", () => {
  expect(parseCount("--since", "42")).toBe(42);
  for (const text of ["", "-1", "1.5", "1e3", "x", "99999999999999999999"]) {
    expect(() => parseCount("--since", text)).toThrow("--since");
  }
});
