import { type Group, isGroup, type Verb } from "./verb.ts";

/** Every verb, loaded when it is wanted: a short command should not wait for the others. */
export const verbs = {
  exec: async () => (await import("./exec.ts")).exec,
  follow: async () => (await import("./follow.ts")).follow,
  jobs: async () => (await import("./jobs.ts")).jobs,
  job: async () => (await import("./job.ts")).job,
  wait: async () => (await import("./wait.ts")).wait,
  result: async () => (await import("./result.ts")).result,
  kill: async () => (await import("./kill.ts")).kill,
  ping: async () => (await import("./ping.ts")).ping,
  console: async () => (await import("./console.ts")).consoleVerb,
  completion: async () => (await import("./completion.ts")).completion,
} as const satisfies Record<string, () => Promise<Verb | Group>>;

/** What one word, or a group's and one of its verbs', mean, in any of their spellings (`send-input`, `send_input`). */
export async function findTopic(words: readonly string[]): Promise<Verb | Group | undefined> {
  const [first = "", second] = words.map((word) => word.replaceAll("_", "-"));
  const known: Readonly<Record<string, () => Promise<Verb | Group>>> = verbs;
  const topic = Object.hasOwn(known, first) ? await known[first]?.() : undefined;
  if (topic === undefined || second === undefined) return topic;
  return isGroup(topic) && Object.hasOwn(topic.verbs, second) ? topic.verbs[second]?.() : undefined;
}
