import { df as dfCommand } from "../commands/df.ts";
import { find as findCommand } from "../commands/find.ts";
import { ls as lsCommand } from "../commands/ls.ts";
import { rdfile as rdfileCommand } from "../commands/rdfile.ts";
import { stat as statCommand } from "../commands/stat.ts";
import { toCall } from "./call.ts";

/** The verbs that look at the server's files. */
export const ls = toCall(lsCommand);
export const stat = toCall(statCommand);
export const find = toCall(findCommand);
export const rdfile = toCall(rdfileCommand);
export const df = toCall(dfCommand);
