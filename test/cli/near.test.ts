import { expect, test } from "bun:test";
import { findNear } from "../../src/cli/near.ts";

const names = ["exec", "exit", "jobs", "job", "kill", "ls", "mkdir", "is-alive"];

test("findNear() finds names that differ in few letters, the nearest first", () => {
  expect(findNear("exce", names)).toEqual(["exec"]);
  expect(findNear("jbos", names)).toEqual(["jobs"]);
  expect(findNear("kil", names)).toEqual(["kill"]);
  expect(findNear("is-a", names)).toEqual(["is-alive"]);
  expect(findNear("mkdri", names)).toEqual(["mkdir"]);
  expect(findNear("touhc-in", ["touch-it", "ouch-in"])).toEqual(["touch-it"]);
});

test("findNear() finds nothing for a word that is like none", () => {
  expect(findNear("frobnicate", names)).toEqual([]);
  expect(findNear("x", names)).toEqual([]);
  expect(findNear("nosuch", ["touch", "mouse"])).toEqual([]);
});
