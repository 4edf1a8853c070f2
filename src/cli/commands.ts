import { commands as command } from "../commands/commands.ts";
import { toCall } from "./call.ts";

/** Lists what the server offers. */
export const commands = toCall(command);
