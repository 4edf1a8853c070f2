import { defineForeground } from "./define.ts";
import { powerArgs, PowerInput, PowerResult, runPower, showPower, toPowerInput } from "./power.ts";

export const reboot = defineForeground({
  name: "reboot",
  summary: "Restart the machine",
  permission: "power",
  idempotent: false,
  asUser: true,
  input: PowerInput,
  result: PowerResult,

  run: (input, context) => runPower("reboot", input, context),

  cli: {
    args: powerArgs,
    examples: [
      ["farhand -H web1 reboot --dry-run", "the program that would be run, with its arguments"],
      ["farhand -H web1 reboot --yes", "do it"],
    ],
    toInput: toPowerInput,
    show: (result) => showPower(result, "restarts"),
  },
});
