import { reboot as command } from "../commands/reboot.ts";
import { toCall } from "./call.ts";

/** Restarts the machine. */
export const reboot = toCall(command);
