import { ps as command } from "../commands/ps.ts";
import { toCall } from "./call.ts";

/** Lists the processes of the machine. */
export const ps = toCall(command);
