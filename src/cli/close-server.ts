import { closeServer as command } from "../commands/close-server.ts";
import { toCall } from "./call.ts";

/** Stops the server. */
export const closeServer = toCall(command);
