import { sleep as command } from "../commands/sleep.ts";
import { toCall } from "./call.ts";

/** Suspends the machine. */
export const sleep = toCall(command);
