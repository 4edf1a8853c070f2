import { taskList as command } from "../commands/task-list.ts";
import { toCall } from "./call.ts";
import { toTaskVerb } from "./task-verb.ts";

/** Lists tasks. */
export const taskList = toTaskVerb(toCall(command));
