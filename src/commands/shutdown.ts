import { defineForeground } from "./define.ts";
import { powerArgs, PowerInput, PowerResult, runPower, showPower, toPowerInput } from "./power.ts";

export const shutdown = defineForeground({
  name: "shutdown",
  summary: "Turn the machine off",
  permission: "power",
  idempotent: false,
  asUser: true,
  input: PowerInput,
  result: PowerResult,

  run: (input, context) => runPower("shutdown", input, context),

  cli: {
    args: powerArgs,
    examples: [
      ["farhand -H web1 shutdown --dry-run", "the program that would be run, with its arguments"],
      ["farhand -H web1 shutdown --yes", "do it"],
    ],
    toInput: toPowerInput,
    show: (result) => showPower(result, "turns off"),
  },
});
