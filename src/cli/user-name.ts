import { userName as command } from "../commands/user-name.ts";
import { toCall } from "./call.ts";

/** Tells as which user the server runs. */
export const userName = toCall(command);
