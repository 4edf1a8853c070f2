import { describe, expect, test } from "bun:test";
import { createWorkspace, findWorkspace } from "../../src/client/workspace.ts";
import { isPrivate } from "../../src/protocol/workspace.ts";

describe("findWorkspace()", () => {
  test("takes what is named before FARHAND_WORKSPACE, which may be empty", () => {
    const env = { FARHAND_WORKSPACE: "build" };
    expect(findWorkspace("test", env)).toEqual({ name: "test", isOwn: false });
    expect(findWorkspace(undefined, env)).toEqual({ name: "build", isOwn: false });
    expect(findWorkspace(undefined, { FARHAND_WORKSPACE: "" })).toBeUndefined();
    expect(findWorkspace(undefined, {})).toBeUndefined();
    expect(findWorkspace("default", env)).toEqual({ name: "default", isOwn: false });
  });

  test.each(["", "../x", ".hidden", "a b", "-w", "a\n", "@", "@@x", "__proto__", "é", "x".repeat(65)])(
    "refuses %j as a name, in a sentence",
    (name) => {
      expect(() => findWorkspace(name, {})).toThrow(
        expect.objectContaining({
          code: "invalid_input",
          message: expect.stringMatching(/^Cannot use workspace ".*": it (is no name|has more than)/s),
        }),
      );
    },
  );

  test.each(["a", "7", "con", "constructor", "a.b-c_d", "@mine", "x".repeat(64)])("accepts %j", (name) => {
    expect(findWorkspace(name, {})).toEqual({ name, isOwn: false });
  });
});

test("createWorkspace() makes up a private one each time", () => {
  const [one, other] = [createWorkspace(), createWorkspace()];
  expect(one.name).not.toBe(other.name);
  expect(isPrivate(one.name)).toBe(true);
  expect(findWorkspace(one.name, {})).toMatchObject({ name: one.name });
});
