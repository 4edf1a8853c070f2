import { jobLabel as command } from "../commands/job-label.ts";
import { toCall } from "./call.ts";

/** Sets labels of a job and takes others away. */
export const jobLabel = toCall(command);
