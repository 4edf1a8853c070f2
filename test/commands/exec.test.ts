import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import type { WorkspaceAccess } from "../../src/commands/access/workspace.ts";
import type { CommandContext } from "../../src/commands/context.ts";
import { exec } from "../../src/commands/exec.ts";

const argv = ["true"];

/** A context with this environment; everything else of it is not asked for. */
function toContext(environment: Readonly<Record<string, string>>): CommandContext {
  return {
    signal: new AbortController().signal,
    workspace: { environment, resolve: (path: string) => path } as WorkspaceAccess,
    workspaces: undefined as never,
    toShell: (line) => ["sh", "-c", line],
    toLoginShell: () => ({ file: "/bin/bash", argv: ["-bash"] }),
    jobs: undefined as never,
    tasks: undefined as never,
    files: undefined as never,
    machine: undefined as never,
    server: undefined as never,
    input: undefined as never,
  };
}

/** Where and why an input is refused. */
function refusal(input: unknown): string {
  const parsed = v.safeParse(exec.input, input);
  if (parsed.success) throw new Error("Nothing was refused");
  const [issue] = parsed.issues;
  return `${v.getDotPath(issue)}: ${issue.message}`;
}

describe("exec", () => {
  test("passes variables on over the server's own, whatever they are called", () => {
    const env = JSON.parse('{"__proto__":"x","constructor":"y","prototype":"z"}');
    const own = JSON.parse('{"PATH":"/bin","__proto__":"own","toString":"own"}');
    const input = v.parse(exec.input, { argv, env });
    const given = (clearEnv: boolean) =>
      Object.entries(exec.toProgram({ ...input, clearEnv }, toContext(own)).env).sort();
    const set = Object.entries(env).sort();
    expect(given(true) as unknown[]).toEqual(set);
    expect(given(false) as unknown[]).toEqual([["PATH", "/bin"], ...set, ["toString", "own"]]);
  });

  test.each<[string, object]>([
    ["argv.1: must not contain a NUL byte", { argv: ["a", "b\0"] }],
    ["argv.1: must be well-formed Unicode", { argv: ["a", "b\ud800"] }],
    ["shell: must be well-formed Unicode", { shell: "\udc00\ud800" }],
    ["cwd: must be well-formed Unicode", { argv, cwd: "/\udfff" }],
    ["env.A: must be well-formed Unicode", { argv, env: { B: "", A: "\ud83d" } }],
    ["env.A\ud83d: must be well-formed Unicode", { argv, env: { "A\ud83d": "" } }],
    ["env.A: must not contain a NUL byte", { argv, env: { A: "\0" } }],
    ["env.A=B: must be a name without '='", { argv, env: { "A=B": "" } }],
    ["env.: must be a name without '='", { argv, env: { "": "" } }],
    ["env: must be an object of strings", { argv, env: { A: 1 } }],
  ])("refuses with %j", (reason, input) => {
    expect(refusal(input)).toBe(reason);
  });

  test("takes every character that is one", () => {
    const whole = "\u{1f600} \ufffd \u0301 \uffff";
    expect(v.parse(exec.input, { argv: [whole], env: { [whole]: whole } })).toMatchObject({ argv: [whole] });
  });
});
