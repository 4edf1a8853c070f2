import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import type { WorkspaceAccess } from "../../src/commands/access/workspace.ts";
import { cd } from "../../src/commands/cd.ts";
import type { CommandContext } from "../../src/commands/context.ts";
import { showDirectory } from "../../src/commands/cwd.ts";

const bytes = Buffer.from([0x2f, 0xff]).toString("base64");
const workspace = {
  enter: async (path) => (path === undefined ? "/home" : path),
  goBack: async () => "/before",
} as WorkspaceAccess;
const run = (input: v.InferInput<typeof cd.input>) =>
  cd.run(v.parse(cd.input, input), { workspace } as CommandContext);

describe("cd", () => {
  test("goes home without a path, back with a dash, and into a directory called so by ./-", async () => {
    expect(await run({})).toEqual({ cwd: "/home" });
    expect(await run({ path: "-" })).toEqual({ cwd: "/before" });
    expect(await run({ path: "./-" })).toEqual({ cwd: "./-" });
  });

  test("answers a name that is no UTF-8 with its bytes, and shows it harmlessly", async () => {
    const answer = await run({ path: { bytes } });
    expect(answer).toEqual({ cwd: "/\ufffd", cwdBytes: bytes });
    expect(showDirectory(answer)).not.toContain("\ufffd");
    expect(showDirectory({ cwd: "/a\u001b[2J\nb" })).not.toMatch(/[\u001b\n]/);
  });

  test("takes one directory, by its name or its bytes", () => {
    const read = (rest: string[], list: string[] = []) =>
      cd.cli.toInput({
        flag: () => false,
        choice: () => undefined,
        text: () => undefined,
        list: () => list,
        rest,
      });
    expect([read([]), read(["-"]), read([], [bytes])]).toEqual([{}, { path: "-" }, { path: { bytes } }]);
    expect(() => read(["a", "b"])).toThrow(/several directories/);
  });

  test.each(["", "a\0b", "\ud800", "x".repeat(4_097)])("refuses a path like %j", (path) => {
    expect(v.safeParse(cd.input, { path }).success).toBe(false);
  });
});
