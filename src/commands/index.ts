import { exec } from "./exec.ts";
import { jobs } from "./jobs.ts";
import { kill } from "./kill.ts";
import { ping } from "./ping.ts";
import { wait } from "./wait.ts";

/** Every built-in command. */
export const builtins = { exec, jobs, wait, kill, ping } as const;
export type Builtins = typeof builtins;

/** The built-in command of this name, in any of its spellings (`send-input`, `send_input`). */
export function findCommand(name: string): Builtins[keyof Builtins] | undefined {
  const known: Partial<Record<string, Builtins[keyof Builtins]>> = builtins;
  const kebab = name.replaceAll("_", "-");
  return Object.hasOwn(known, kebab) ? known[kebab] : undefined;
}
