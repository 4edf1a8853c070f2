import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readGivenValue } from "../../src/cli/given-value.ts";
import { openDirectory } from "../support/directory.ts";

async function* say(...texts: string[]) {
  for (const text of texts) yield new TextEncoder().encode(text);
}

const read = (text: string, ...stdin: string[]) =>
  readGivenValue(text, "the arguments", { stdin: () => say(...stdin) });

test("readGivenValue() reads JSON from the line, from a file, and from stdin, whose characters may come in pieces", async () => {
  using directory = openDirectory();
  const file = join(directory.path, "a.json");
  writeFileSync(file, '{"from": "a file"}\n');
  expect(await read('{"a": [1, null]}')).toEqual({ a: [1, null] });
  expect(await read(`@${file}`)).toEqual({ from: "a file" });
  const [first, ...rest] = new TextEncoder().encode('"ü"');
  async function* halves() {
    yield new Uint8Array([first ?? 0, rest[0] ?? 0]);
    yield new Uint8Array(rest.slice(1));
  }
  expect(await readGivenValue("-", "it", { stdin: halves })).toBe("ü");
});

test("readGivenValue() reads what JSON cannot say by its tags", async () => {
  expect(await read('{"at": {"$date": "1970-01-01T00:00:00.001Z"}}')).toEqual({ at: new Date(1) });
  expect(await read("-", '{"$bytes": ', '"AAE="}')).toEqual(new Uint8Array([0, 1]));
});

test("readGivenValue() says what is wrong, and where it was read", async () => {
  for (const [given, why] of [
    ["nonsense", "a text takes quotes of its own"],
    ["", "there is nothing"],
    ["@/no/such/file", '"/no/such/file": no such file'],
    ['{"$nonsense": 1}', "stands for nothing"],
  ] as const)
    await expect(read(given)).rejects.toMatchObject({
      code: "invalid_input",
      message: expect.stringContaining(why),
    });
  await expect(read("-", "{")).rejects.toThrow("Cannot read the arguments on stdin: it is no JSON");
});
