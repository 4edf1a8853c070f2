import { taskRestart as command } from "../commands/task-restart.ts";
import { toCall } from "./call.ts";
import { toTaskCall } from "./task-dealings.ts";

/** Starts a task's process anew. */
export const taskRestart = toTaskCall(toCall(command));
