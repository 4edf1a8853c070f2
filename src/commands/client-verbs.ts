/** Words that mean something to the client itself, besides the names of commands: a command of that name it does not ask a server for. */
const VERBS: ReadonlySet<string> = new Set([
  "attach",
  "call",
  "completion",
  "console",
  "follow",
  "help",
  "host",
  "host-add",
  "host-list",
  "host-remove",
  "host-show",
  "job",
  "join",
  "login",
  "logout",
  "shell",
  "task",
  "task-follow",
  "token",
  "token-narrow",
  "token-show",
  "workspace",
]);

/** Why a command of that name is not called as others are, if it is not, and how it is, as the rest of a sentence. */
export function findHiding(name: string): string | undefined {
  return VERBS.has(name)
    ? `farhand has a verb of that name, so only "farhand call ${name}" and programs reach it`
    : undefined;
}
