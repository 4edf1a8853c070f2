import { defineForeground } from "./define.ts";
import { powerArgs, PowerInput, PowerResult, runPower, showPower, toPowerInput } from "./power.ts";

export const sleep = defineForeground({
  name: "sleep",
  summary: "Suspend the machine, where it can be",
  permission: "power",
  idempotent: false,
  asUser: true,
  ability: "suspend",
  input: PowerInput,
  result: PowerResult,

  run: (input, context) => runPower("sleep", input, context),

  cli: {
    args: powerArgs,
    examples: [
      ["farhand -H web1 sleep --dry-run", "the program that would be run, with its arguments"],
      ["farhand -H web1 sleep --yes", "do it"],
    ],
    toInput: toPowerInput,
    show: (result) => showPower(result, "goes to sleep"),
  },
});
