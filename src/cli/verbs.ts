import type { Verb } from "./verb.ts";

/** Every verb, loaded when it is wanted: a short command should not wait for the others. */
export const verbs = {
  exec: async () => (await import("./exec.ts")).exec,
  follow: async () => (await import("./follow.ts")).follow,
  jobs: async () => (await import("./jobs.ts")).jobs,
  wait: async () => (await import("./wait.ts")).wait,
  kill: async () => (await import("./kill.ts")).kill,
  ping: async () => (await import("./ping.ts")).ping,
} as const satisfies Record<string, () => Promise<Verb>>;

/** The verb of this name, in any of its spellings (`send-input`, `send_input`). */
export async function findVerb(name: string): Promise<Verb | undefined> {
  const known: Readonly<Partial<Record<string, () => Promise<Verb>>>> = verbs;
  const kebab = name.replaceAll("_", "-");
  return Object.hasOwn(known, kebab) ? known[kebab]?.() : undefined;
}
