import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { AppError } from "../../../src/protocol/error.ts";
import { CommandsTable, PacksTable, toExtensionSettings } from "../../../src/server/extensions/settings.ts";
import { createSettings } from "../../support/custom.ts";

const from = "/etc/farhand";
const state = "/state";

function read(commands: object = {}, packs: object = {}, flags = { files: [] as string[], watch: false }) {
  const said = { commands: v.parse(CommandsTable, commands), packs: v.parse(PacksTable, packs), from, state };
  return toExtensionSettings(flags, said, (key, why) => new AppError("invalid_config", `${key}: ${why}`));
}

function refusal(commands: object): string {
  try {
    read(commands);
  } catch (error) {
    if (error instanceof AppError) return error.message;
    throw error;
  }
  throw new Error("Nothing was refused");
}

describe("toExtensionSettings()", () => {
  test("finds modules in the state directory where nothing is said", () => {
    expect(read()).toEqual(createSettings("/state/commands"));
  });

  test("counts paths from the file, and those of the command line from where we are", () => {
    const flags = { files: ["b.ts"], watch: true };
    expect(read({ directory: "mine", files: ["a.ts", "/srv/c.ts"] }, {}, flags)).toMatchObject({
      directory: "/etc/farhand/mine",
      isNamed: true,
      files: ["/etc/farhand/a.ts", "/srv/c.ts", `${process.cwd()}/b.ts`],
      watch: true,
    });
  });

  test("reads what is said of a module's command", () => {
    const deploy = { permission: "control", timeout: "5m", run_as: "deploy" };
    expect(read({ deploy, look: { inline: true } }).commands).toEqual({
      deploy: { permission: "control", timeoutMs: 300_000, runAs: "deploy", isInline: false },
      look: { permission: undefined, timeoutMs: undefined, runAs: undefined, isInline: true },
    });
  });

  test("makes a program a command, with a schema of its input", () => {
    const input = {
      host: { description: "where" },
      retries: { type: "integer", default: 3 },
      mode: { enum: ["soft", "hard"], optional: true },
      tags: { type: "array", items: "string", optional: true },
      level: { enum: [1, 2] },
      deep: { default: false },
      names: { items: "string", default: ["a"] },
      either: { enum: [1, "all"], optional: true },
    };
    const backup = {
      program: ["/usr/bin/backup", "--json"],
      kind: "background",
      input,
      positional: ["host"],
    };
    const { programs } = read({ backup, plain: { program: ["true"] } });
    expect(programs["backup"]).toMatchObject({
      argv: ["/usr/bin/backup", "--json"],
      summary: "Run /usr/bin/backup --json",
      kind: "background",
      positional: ["host"],
      input: {
        type: "object",
        properties: {
          host: { type: "string", description: "where" },
          retries: { type: "integer", default: 3 },
          mode: { type: "string", enum: ["soft", "hard"] },
          tags: { type: "array", items: { type: "string" } },
          level: { type: "number", enum: [1, 2] },
          deep: { type: "boolean", default: false },
          names: { type: "array", items: { type: "string" }, default: ["a"] },
          either: { enum: [1, "all"] },
        },
        required: ["host", "level"],
        additionalProperties: false,
      },
    });
    expect(programs["plain"]).toMatchObject({ kind: "foreground", idempotent: false, positional: [] });
  });

  test("keeps the tables of packs as they are", () => {
    expect(read({}, { shots: { screen: ":1", size: { x: 1 } } }).packs).toEqual({
      shots: { screen: ":1", size: { x: 1 } },
    });
  });

  const program = ["true"];
  test.each([
    [{ Deploy: { program } }, "commands.Deploy: a command's name is a word in lower case"],
    [{ "a--b": { program } }, "commands.a--b: a command's name is a word in lower case"],
    [{ send_input: { program } }, "commands.send_input: a command's name is"],
    [{ ls: { program } }, "commands.ls: there is a built-in command of that name"],
    [{ exec: { timeout: "5s" } }, "commands.exec: there is a built-in command of that name"],
    [{ x: { summary: "X" } }, "commands.x.summary: a module says that itself"],
    [{ x: { input: {} } }, "commands.x.input: a module says that itself"],
    [{ x: { program, inline: true } }, "commands.x.inline: what is done in the server itself"],
    [{ x: { run_as: "me", inline: true } }, "commands.x.inline: what is done in the server itself"],
    [{ x: { timeout: "0s" } }, "commands.x.timeout: a limit is more than nothing"],
    [{ x: { run_as: "root" } }, "commands.x.run_as: nobody becomes root by it"],
    [{ x: { run_as: "a b" } }, "commands.x.run_as: write user or user:group"],
    [
      { x: { program, input: { a: { type: "integer", default: "1" } } } },
      "commands.x.input.a.default: it must be an integer, and is a string",
    ],
    [
      { x: { program, input: { a: { enum: ["b", "c"], default: "d" } } } },
      'commands.x.input.a.default: it must be one of "b", "c"',
    ],
    [
      { x: { program, input: { a: { type: "string", enum: [1] } } } },
      "commands.x.input.a.enum: what it may be must be a string, and is a number",
    ],
    [
      { x: { program, input: { a: { items: "string", default: ["b", 1] } } } },
      "commands.x.input.a.default: it must be a string, and is a number",
    ],
    [{ x: { program, positional: ["a"] } }, 'commands.x.positional.0: the input has no field "a"'],
    [{ x: { program, confidential: ["a"] } }, 'commands.x.confidential.0: the input has no field "a"'],
  ])("refuses %j by its key", (commands, why) => {
    expect(refusal(commands)).toStartWith(why);
  });
});
