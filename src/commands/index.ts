import { cd } from "./cd.ts";
import { closeServer } from "./close-server.ts";
import { commands } from "./commands.ts";
import { cp } from "./cp.ts";
import { cwd } from "./cwd.ts";
import { df } from "./df.ts";
import { env } from "./env.ts";
import { exec } from "./exec.ts";
import { find } from "./find.ts";
import { isAlive } from "./is-alive.ts";
import { jobChanges } from "./job-changes.ts";
import { jobLabel } from "./job-label.ts";
import { jobPrune } from "./job-prune.ts";
import { jobRemove } from "./job-remove.ts";
import { jobShow } from "./job-show.ts";
import { jobs } from "./jobs.ts";
import { kill } from "./kill.ts";
import { ls } from "./ls.ts";
import { mkdir, mkdirs } from "./mkdir.ts";
import { modulePut } from "./module-put.ts";
import { mv } from "./mv.ts";
import { osInfo } from "./os-info.ts";
import { ping } from "./ping.ts";
import { ps } from "./ps.ts";
import { rdfile } from "./rdfile.ts";
import { reboot } from "./reboot.ts";
import { result } from "./result.ts";
import { rm } from "./rm.ts";
import { sendInput } from "./send-input.ts";
import { shutdown } from "./shutdown.ts";
import { sleep } from "./sleep.ts";
import { stat } from "./stat.ts";
import { taskAwait } from "./task-await.ts";
import { taskExec } from "./task-exec.ts";
import { taskList } from "./task-list.ts";
import { taskRestart } from "./task-restart.ts";
import { taskShow } from "./task-show.ts";
import { taskStart } from "./task-start.ts";
import { taskStop } from "./task-stop.ts";
import { touch } from "./touch.ts";
import { userName } from "./user-name.ts";
import { wait } from "./wait.ts";
import { which } from "./which.ts";
import { workspaceList } from "./workspace-list.ts";
import { workspaceRemove } from "./workspace-remove.ts";
import { wrfile } from "./wrfile.ts";

/** Every built-in command. */
export const builtins = {
  exec,
  jobs,
  wait,
  result,
  kill,
  "is-alive": isAlive,
  "send-input": sendInput,
  "job-show": jobShow,
  "job-label": jobLabel,
  "job-remove": jobRemove,
  "job-prune": jobPrune,
  "job-changes": jobChanges,
  "module-put": modulePut,
  "task-start": taskStart,
  "task-exec": taskExec,
  "task-await": taskAwait,
  "task-stop": taskStop,
  "task-list": taskList,
  "task-show": taskShow,
  "task-restart": taskRestart,
  cd,
  cwd,
  env,
  "workspace-list": workspaceList,
  "workspace-remove": workspaceRemove,
  ls,
  stat,
  find,
  rdfile,
  mkdir,
  mkdirs,
  rm,
  mv,
  cp,
  touch,
  wrfile,
  df,
  ps,
  which,
  "os-info": osInfo,
  "user-name": userName,
  reboot,
  shutdown,
  sleep,
  commands,
  "close-server": closeServer,
  ping,
} as const;
export type Builtins = typeof builtins;

/** Any built-in command. */
export type Builtin = Builtins[keyof Builtins];

/** The built-in command of this name, in any of its spellings (`send-input`, `send_input`). */
export function findCommand(name: string): Builtin | undefined {
  const known: Partial<Record<string, Builtin>> = builtins;
  const kebab = name.replaceAll("_", "-");
  return Object.hasOwn(known, kebab) ? known[kebab] : undefined;
}

/** All of them, in the order in which help lists them. */
export function listCommands(): readonly Builtin[] {
  return Object.values(builtins);
}
