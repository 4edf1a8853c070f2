import { which as command } from "../commands/which.ts";
import { toCall } from "./call.ts";

/** Tells which files `exec` would run. */
export const which = toCall(command);
