import { expect, test } from "bun:test";
import { parseArguments } from "../../src/cli/arguments.ts";
import { pathArgs, showName, showPath, toPaths, toPathsOf } from "../../src/commands/paths.ts";

function values(...words: string[]) {
  return parseArguments(words, { args: pathArgs, rest: true, takesRest: false });
}

const bytes = Buffer.from("a\xffb", "latin1").toString("base64");

test("toPaths() puts paths named by their bytes before those in words", () => {
  expect(toPaths(values("x", "--path-bytes", bytes, "--", "-rf"))).toEqual([{ bytes }, "x", "-rf"]);
});

test("toPathsOf() takes exactly as many as it is told", () => {
  expect(toPathsOf(values("x", "--path-bytes", bytes), ["FROM", "TO"])).toEqual([{ bytes }, "x"]);
  expect(() => toPathsOf(values("x"), ["FROM", "TO"])).toThrow("Cannot read the command line: TO is missing");
  expect(() => toPathsOf(values("x", "y\n"), ["PATH"])).toThrow('there is no place for "y\\n"');
});

test("a path by its bytes is checked before anything is asked of a server", () => {
  const refused = (text: string) => () => toPaths(values("--path-bytes", text));
  expect(refused("no base64!")).toThrow(
    'Cannot use --path-bytes "no base64!": write the path\'s bytes in base64',
  );
  expect(refused("")).toThrow("it is empty");
  expect(refused(Buffer.from("a\0b").toString("base64"))).toThrow("it must not contain a NUL byte");
});

test("names and paths are shown on one line, harmless on a terminal, with the bytes that are no UTF-8", () => {
  expect([showPath("a\n\x1b"), showPath({ bytes })]).toEqual(["a\\n\\x1b", "a\\xffb"]);
  expect([showName({ name: "ü\t" }), showName({ name: "a\ufffdb", nameBytes: bytes })]).toEqual([
    "ü\\t",
    "a\\xffb",
  ]);
});
