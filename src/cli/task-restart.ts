import { taskRestart as command } from "../commands/task-restart.ts";
import { toCall } from "./call.ts";
import { toTaskVerb } from "./task-verb.ts";

/** Starts a task's process anew. */
export const taskRestart = toTaskVerb(toCall(command));
