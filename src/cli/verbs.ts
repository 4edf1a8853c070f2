import { type Group, isGroup, type Verb } from "./verb.ts";

/** Every verb, loaded when it is wanted: a short command should not wait for the others. */
export const verbs = {
  exec: async () => (await import("./exec.ts")).exec,
  shell: async () => (await import("./shell.ts")).shell,
  attach: async () => (await import("./attach.ts")).attach,
  follow: async () => (await import("./follow.ts")).follow,
  jobs: async () => (await import("./jobs.ts")).jobs,
  job: async () => (await import("./job.ts")).job,
  wait: async () => (await import("./wait.ts")).wait,
  result: async () => (await import("./result.ts")).result,
  kill: async () => (await import("./kill.ts")).kill,
  task: async () => (await import("./task.ts")).task,
  cd: async () => (await import("./workspace.ts")).cd,
  cwd: async () => (await import("./workspace.ts")).cwd,
  env: async () => (await import("./env.ts")).env,
  workspace: async () => (await import("./workspace.ts")).workspace,
  ls: async () => (await import("./files.ts")).ls,
  stat: async () => (await import("./files.ts")).stat,
  find: async () => (await import("./files.ts")).find,
  rdfile: async () => (await import("./files.ts")).rdfile,
  mkdir: async () => (await import("./changes.ts")).mkdir,
  mkdirs: async () => (await import("./changes.ts")).mkdirs,
  rm: async () => (await import("./changes.ts")).rm,
  mv: async () => (await import("./changes.ts")).mv,
  cp: async () => (await import("./changes.ts")).cp,
  touch: async () => (await import("./changes.ts")).touch,
  wrfile: async () => (await import("./changes.ts")).wrfile,
  df: async () => (await import("./files.ts")).df,
  "is-alive": async () => (await import("./is-alive.ts")).isAlive,
  "send-input": async () => (await import("./send-input.ts")).sendInput,
  ps: async () => (await import("./ps.ts")).ps,
  which: async () => (await import("./which.ts")).which,
  "os-info": async () => (await import("./os-info.ts")).osInfo,
  "user-name": async () => (await import("./user-name.ts")).userName,
  reboot: async () => (await import("./reboot.ts")).reboot,
  shutdown: async () => (await import("./shutdown.ts")).shutdown,
  sleep: async () => (await import("./sleep.ts")).sleep,
  call: async () => (await import("./custom/call.ts")).callVerb,
  commands: async () => (await import("./commands.ts")).commands,
  "close-server": async () => (await import("./close-server.ts")).closeServer,
  ping: async () => (await import("./ping.ts")).ping,
  host: async () => (await import("./host.ts")).host,
  join: async () => (await import("./join.ts")).join,
  login: async () => (await import("./login.ts")).login,
  logout: async () => (await import("./logout.ts")).logout,
  token: async () => (await import("./token.ts")).token,
  console: async () => (await import("./console.ts")).consoleVerb,
  completion: async () => (await import("./completion.ts")).completion,
} as const satisfies Record<string, () => Promise<Verb | Group>>;

/** What one word, or a group's and one of its verbs', mean, in any of their spellings (`send-input`, `send_input`; `job show`, `job-show`). */
export async function findTopic(words: readonly string[]): Promise<Verb | Group | undefined> {
  const [first = "", second] = words.map((word) => word.replaceAll("_", "-"));
  const known: Readonly<Record<string, () => Promise<Verb | Group>>> = verbs;
  const topic = Object.hasOwn(known, first) ? await known[first]?.() : undefined;
  if (topic === undefined && second === undefined) {
    const [, group, verb] = /^(\w+)-(.+)$/.exec(first) ?? [];
    return group === undefined || verb === undefined ? undefined : await findTopic([group, verb]);
  }
  if (topic === undefined || second === undefined) return topic;
  return isGroup(topic) && Object.hasOwn(topic.verbs, second) ? topic.verbs[second]?.() : undefined;
}
