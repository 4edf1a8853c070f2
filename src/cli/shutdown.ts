import { shutdown as command } from "../commands/shutdown.ts";
import { toCall } from "./call.ts";

/** Turns the machine off. */
export const shutdown = toCall(command);
