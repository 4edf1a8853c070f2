import { isAlive as command } from "../commands/is-alive.ts";
import { toCall } from "./call.ts";

/** Tells whether a job runs, also by its exit code. */
export const isAlive = toCall(command);
