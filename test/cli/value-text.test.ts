import { describe, expect, test } from "bun:test";
import { readGivenValue } from "../../src/cli/given-value.ts";
import { asJson, forPeople, numbered } from "../../src/cli/value-text.ts";

const rich = { at: new Date(0), on: new Set([1n]) };
const stdin = async function* () {
  yield new TextEncoder().encode('{"$map":[[1,{"$unde');
  yield new TextEncoder().encode('fined":true}]]}');
};

describe("What JSON has not", () => {
  const people = forPeople({ screen: () => ({ columns: 80, rows: 24 }) });

  test("is shown to people as Bun shows it, and harmless on a terminal", () => {
    expect(people.toLine(rich, undefined)).toBe("{ at: 1970-01-01T00:00:00.000Z, on: Set(1) { 1n } }");
    expect(people.toAnswer(new Map([["\x1b[2J", undefined]]))).not.toContain("\x1b");
    expect(people.toLine({ a: [1] }, undefined)).toBe('{"a":[1]}');
    expect(people.toAnswer(undefined)).toBe("");
    const many = Array.from({ length: 50 }, (_, index) => new Date(index));
    expect(people.toLine(many, undefined)).not.toContain("\n");
  });

  test("is written for programs as JSON with tags, which can be given again", async () => {
    const read = forPeople({ screen: () => undefined }).toLine(rich, undefined);
    expect(read).toBe(asJson.toLine(rich, undefined));
    const line = numbered(asJson).toLine(rich, 3);
    expect(line).toBe('3\t{"at":{"$date":"1970-01-01T00:00:00.000Z"},"on":{"$set":[{"$bigint":"1"}]}}');
    expect(await readGivenValue(line.slice(2), "--input", { stdin })).toEqual(rich);
    expect(await readGivenValue("-", "--input", { stdin })).toEqual(new Map([[1, undefined]]));
  });

  test("is refused where a tag stands for nothing, in a sentence that says what was read", async () => {
    await expect(readGivenValue('{"a":{"$date":1}}', "--input", { stdin })).rejects.toMatchObject({
      code: "invalid_input",
      message: 'Cannot read --input: it has a "$date" without its text',
    });
  });
});
