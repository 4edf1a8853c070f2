import type * as v from "valibot";
import { invoke } from "../client/invoke.ts";
import type { ForegroundCommand } from "../commands/define.ts";
import { openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** A verb that is one call of a command, whose answer it shows. */
export function toCall<S extends v.GenericSchema, R extends v.GenericSchema>(
  command: ForegroundCommand<S, R>,
): Verb {
  return {
    ...command.cli,
    summary: command.summary,
    async run(values, context) {
      const input = command.cli.toInput(values);
      await using session = await openSession(context);
      const answer = await invoke(session, command, input, context.signal);
      print(context, answer, () => command.cli.show(answer));
      return 0;
    },
  };
}
