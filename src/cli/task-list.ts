import { taskList as command } from "../commands/task-list.ts";
import { toCall } from "./call.ts";
import { toTaskCall } from "./task-dealings.ts";

/** Lists tasks. */
export const taskList = toTaskCall(toCall(command));
