import * as v from "valibot";
import { CommandDescription } from "../protocol/description.ts";
import { defineForeground } from "./define.ts";
import { align } from "./table.ts";

export const commands = defineForeground({
  name: "commands",
  summary: "List what this server offers, with schemas",
  permission: "read",
  idempotent: true,
  input: v.object({
    /** Only these. */
    names: v.optional(v.pipe(v.array(v.pipe(v.string(), v.maxLength(64))), v.maxLength(100)), []),
  }),
  positional: ["names"],
  result: v.array(CommandDescription),

  run: async ({ names }, { server }) => [...(await server.describe(names))],

  cli: {
    args: {},
    rest: "[NAME ...]",
    examples: [
      ["farhand commands", "names, kinds, permissions and what they do"],
      ["farhand commands ls --json | jq '.[0].input'", "the JSON Schema of what ls takes"],
    ],
    toInput: ({ rest }) => ({ names: [...rest] }),
    show: (described) =>
      align([
        ["COMMAND", "KIND", "FROM", "PERMISSION", "SUMMARY"],
        ...described.map(({ name, kind, custom = false, permission, summary }) => {
          return [name, kind, custom ? "server" : "farhand", permission, summary];
        }),
      ]).join("\n"),
  },
});
