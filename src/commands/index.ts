import { cd } from "./cd.ts";
import { cwd } from "./cwd.ts";
import { df } from "./df.ts";
import { env } from "./env.ts";
import { exec } from "./exec.ts";
import { find } from "./find.ts";
import { jobChanges } from "./job-changes.ts";
import { jobLabel } from "./job-label.ts";
import { jobPrune } from "./job-prune.ts";
import { jobRemove } from "./job-remove.ts";
import { jobShow } from "./job-show.ts";
import { jobs } from "./jobs.ts";
import { kill } from "./kill.ts";
import { ls } from "./ls.ts";
import { ping } from "./ping.ts";
import { rdfile } from "./rdfile.ts";
import { result } from "./result.ts";
import { stat } from "./stat.ts";
import { wait } from "./wait.ts";
import { workspaceList } from "./workspace-list.ts";
import { workspaceRemove } from "./workspace-remove.ts";

/** Every built-in command. */
export const builtins = {
  exec,
  jobs,
  wait,
  result,
  kill,
  "job-show": jobShow,
  "job-label": jobLabel,
  "job-remove": jobRemove,
  "job-prune": jobPrune,
  "job-changes": jobChanges,
  cd,
  cwd,
  env,
  "workspace-list": workspaceList,
  "workspace-remove": workspaceRemove,
  ls,
  stat,
  find,
  rdfile,
  df,
  ping,
} as const;
export type Builtins = typeof builtins;

/** The built-in command of this name, in any of its spellings (`send-input`, `send_input`). */
export function findCommand(name: string): Builtins[keyof Builtins] | undefined {
  const known: Partial<Record<string, Builtins[keyof Builtins]>> = builtins;
  const kebab = name.replaceAll("_", "-");
  return Object.hasOwn(known, kebab) ? known[kebab] : undefined;
}
