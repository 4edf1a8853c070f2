import { taskShow as command } from "../commands/task-show.ts";
import { toCall } from "./call.ts";
import { toTaskCall } from "./task-dealings.ts";

/** Shows all that is known of a task. */
export const taskShow = toTaskCall(toCall(command));
