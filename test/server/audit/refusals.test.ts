import { expect, test } from "bun:test";
import { Refusals } from "../../../src/server/audit/refusals.ts";
import { eventually } from "../../support/eventually.ts";

const from = (source: string) => ({ source, outcome: "unauthenticated", message: "no" });

function setup(window?: number) {
  const noted: Readonly<Record<string, unknown>>[] = [];
  const options = { note: (fields: Readonly<Record<string, unknown>>) => void noted.push(fields) };
  return { noted, refusals: new Refusals({ ...options, ...(window !== undefined && { window }) }) };
}

test("Refusals are taken down at once, and those that repeat themselves by their number", async () => {
  const { noted, refusals } = setup(20);
  for (let index = 0; index < 1_000; index++) refusals.add(from("10.0.0.1"));
  refusals.add(from("10.0.0.2"));
  expect(noted).toEqual([from("10.0.0.1"), from("10.0.0.2")]);
  await eventually(() => noted.length === 3);
  expect(noted[2]).toEqual({ ...from("10.0.0.1"), repeated: 999 });
  refusals.add(from("10.0.0.1"));
  expect(noted).toHaveLength(4);
  refusals[Symbol.dispose]();
});

test("Refusals of more sources than are told apart are counted together, and no line is lost at the end", () => {
  const { noted, refusals } = setup();
  for (let index = 0; index < 5_000; index++) refusals.add(from(`source-${index}`));
  expect(noted).toHaveLength(1_024);
  refusals[Symbol.dispose]();
  expect(noted).toHaveLength(1_025);
  expect(noted.at(-1)).toMatchObject({ source: "others", repeated: 5_000 - 1_024 });
});
