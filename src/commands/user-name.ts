import * as v from "valibot";
import { escapeControls } from "../lib/escape.ts";
import { Account } from "../protocol/machine.ts";
import { defineForeground } from "./define.ts";

export const userName = defineForeground({
  name: "user-name",
  summary: "Tell as which user the server runs",
  permission: "read",
  idempotent: true,
  asUser: true,
  input: v.object({}),
  result: Account,

  run: (_input, { machine }) => machine.account(),

  cli: {
    args: {},
    examples: [["farhand user-name", "its name, or its number where it has no name"]],
    toInput: () => ({}),
    show: ({ name }) => escapeControls(name),
  },
});
