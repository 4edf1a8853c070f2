import { taskShow as command } from "../commands/task-show.ts";
import { toCall } from "./call.ts";
import { toTaskVerb } from "./task-verb.ts";

/** Shows all that is known of a task. */
export const taskShow = toTaskVerb(toCall(command));
