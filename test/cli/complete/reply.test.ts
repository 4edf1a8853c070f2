import { describe, expect, test } from "bun:test";
import type { Candidate } from "../../../src/cli/complete/candidate.ts";
import { toAsked } from "../../../src/cli/complete/reply.ts";

const BREAKS = " \t\n\"'@><=;|&(:";
const bash = (line: string, ...candidates: Candidate[]) => {
  const { words, text, reply } = toAsked("bash", [line, BREAKS]);
  return { words, text, lines: reply({ candidates }) };
};

describe("For bash", () => {
  const cases: readonly (readonly [line: string, value: string, written: string])[] = [
    ["farhand jo", "jobs", "jobs"],
    ["farhand ls my", "my file", "my\\ file"],
    ["farhand ls my\\ f", "my file", "my\\ file"],
    ["farhand ls 'my f", "my file", "my file"],
    ["farhand ls 'it", "it's", "it'\\''s"],
    ['farhand ls "a', 'a$b"c', 'a\\$b\\"c'],
    ["farhand ls a", "a$(touch x)", "a\\$\\(touch\\ x\\)"],
    ["farhand exec --cwd=/sr", "--cwd=/srv", "/srv"],
    ["farhand exec --cwd='/s", "--cwd=/srv/a b", "/srv/a b"],
    ["farhand ls a:b", "a:bc", "bc"],
    ["farhand kill @l", "@last", "@last"],
  ];
  test.each(cases)("%j goes on as %j in the line's own quotes: %j", (line, value, written) => {
    expect(bash(line, { value }).lines).toEqual(["words", written]);
  });

  test("words are read as bash reads them, without the program's", () => {
    expect(bash("farhand -H 'a b' ls ")).toMatchObject({ words: ["-H", "a b", "ls"], text: "" });
  });

  test("nothing is put behind the only one if it goes on", () => {
    expect(bash("farhand ls s", { value: "src/", isOpen: true }).lines).toEqual(["open", "src/"]);
    expect(bash("farhand ls s", { value: "src/", isOpen: true }, { value: "so" }).lines[0]).toBe("words");
    expect(toAsked("bash", ["farhand --state ", BREAKS]).reply({ candidates: [], isLocal: true })).toEqual([
      "files",
    ]);
  });
});

test("For the other shells there are words as they are, each with what it means", () => {
  const candidates = [
    { value: "3", description: "make\x1b test" },
    { value: "src/", isOpen: true },
  ];
  expect(toAsked("zsh", ["ls", "s"]).reply({ candidates })).toEqual([
    "word\t3\t   make\\x1b test",
    "open\tsrc/\t",
  ]);
  expect(toAsked("fish", ["ls", "'my f"])).toMatchObject({ words: ["ls"], text: "my f" });
  expect(toAsked("fish", ["s"]).reply({ candidates })).toEqual(["3\tmake\\x1b test", "src/"]);
  expect(toAsked("powershell", ["ls", "="])).toMatchObject({ words: ["ls"], text: "" });
});
