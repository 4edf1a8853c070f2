import { HostBook } from "../client/host-book.ts";
import { defaultConfigHome } from "../lib/config-home.ts";
import { AppError } from "../protocol/error.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** Forgets hosts, and their tokens, which stay valid on their servers. */
export const hostRemove: Verb = {
  summary: "Forget hosts, and their tokens",
  args: {},
  rest: "HOST...",
  examples: [["farhand host remove web1 web2", "all of them, or none if one is not known"]],
  run,
};

async function run({ rest }: Arguments, context: Context): Promise<number> {
  if (rest.length === 0)
    throw new AppError("invalid_input", "Cannot remove nothing: name a host; farhand host list shows them");
  new HostBook(defaultConfigHome(context.env)).remove(rest);
  print(context, { removed: rest }, () => `Removed ${rest.join(", ")}`);
  return 0;
}
