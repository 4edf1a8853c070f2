import { osInfo as command } from "../commands/os-info.ts";
import { toCall } from "./call.ts";

/** Tells what the machine and its system are. */
export const osInfo = toCall(command);
