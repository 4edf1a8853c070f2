import * as v from "valibot";
import { quote } from "../lib/quote.ts";
import { AppError } from "../protocol/error.ts";
import type { PowerAction } from "../protocol/machine.ts";
import type { CommandContext } from "./context.ts";
import type { CliValues } from "./define.ts";

/** What commands take that interrupt everybody's work. */
export const PowerInput = v.object({
  /** It is really meant: nothing happens without. */
  yes: v.optional(v.boolean(), false),
  /** Only tell what would be run. */
  dryRun: v.optional(v.boolean(), false),
});

/** The argv that the system was given, or would be. */
export const PowerResult = v.object({ argv: v.array(v.string()), done: v.boolean() });

export const powerArgs = {
  yes: { type: "boolean", alias: "y", description: "Really do it" },
  "dry-run": { type: "boolean", description: "Only show what would be run" },
} as const;

/** Does it, or tells what would be done. Throws `invalid_input` when nobody said that it is meant. */
export async function runPower(
  action: PowerAction,
  { yes, dryRun }: v.InferOutput<typeof PowerInput>,
  { machine, signal }: CommandContext,
): Promise<v.InferOutput<typeof PowerResult>> {
  if (!yes && !dryRun)
    throw new AppError(
      "invalid_input",
      `Cannot call "${action}" without a yes: it interrupts all that runs there; say --yes, or --dry-run to see what it does`,
    );
  const argv = machine.planPower(action);
  if (!dryRun) {
    signal.throwIfAborted();
    await machine.runPower(argv);
  }
  return { argv: [...argv], done: !dryRun };
}

export function toPowerInput(values: CliValues): v.InferInput<typeof PowerInput> {
  return { yes: values.flag("yes"), dryRun: values.flag("dry-run") };
}

/** `what`: what the machine does then. */
export function showPower({ argv, done }: v.InferOutput<typeof PowerResult>, what: string): string {
  return done ? `The machine ${what}` : argv.map(quote).join(" ");
}
