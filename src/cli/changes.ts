import { cp as cpCommand } from "../commands/cp.ts";
import { mkdir as mkdirCommand, mkdirs as mkdirsCommand } from "../commands/mkdir.ts";
import { mv as mvCommand } from "../commands/mv.ts";
import { rm as rmCommand } from "../commands/rm.ts";
import { touch as touchCommand } from "../commands/touch.ts";
import { wrfile as wrfileCommand } from "../commands/wrfile.ts";
import { toCall } from "./call.ts";

/** The verbs that change files. */
export const mkdir = toCall(mkdirCommand);
export const mkdirs = toCall(mkdirsCommand);
export const rm = toCall(rmCommand);
export const mv = toCall(mvCommand);
export const cp = toCall(cpCommand);
export const touch = toCall(touchCommand);
export const wrfile = toCall(wrfileCommand);
