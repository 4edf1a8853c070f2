import { jobShow as command } from "../commands/job-show.ts";
import { toSeenJob } from "../commands/seen.ts";
import { toCall } from "./call.ts";

/** Shows all that is known of a job. */
export const jobShow = toCall(command, { toJson: toSeenJob });
