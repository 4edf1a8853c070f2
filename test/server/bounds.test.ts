import { expect, test } from "bun:test";
import { relative, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

/**
 * Every map and set that lives as long as a server or a keeper, and what keeps it from growing with what strangers and clients do
 * (C14). Whoever adds one says here what bounds it.
 */
const BOUNDS: Readonly<Record<string, string>> = {
  "keeper/holds.ts #holds": "holders that are connected, each of which has a channel; and the orphans",
  "keeper/holds.ts #orphans": "MAX_ORPHANS, and the grace",
  "keeper/input.ts #writers": "MAX_WRITERS",
  "keeper/keeper.ts #dirty": "jobs that run",
  "keeper/keeper.ts #jobs": "jobs that run",
  "keeper/process.ts #asked": "questions under way, each of which ends",
  "server/audit/refusals.ts #repeated": "MAX_KINDS, and a minute",
  "server/auth/authenticator.ts #credentials":
    "tokens that the administrator made; of logins MAX_LOGINS for each user",
  "server/auth/authenticator.ts #uses": "tokens that there are, and ten seconds",
  "server/auth/tickets.ts #issued": "MAX_TICKETS, and thirty seconds",
  "server/endpoint.ts #retired": "reloads whose connections have not ended; the administrator's",
  "server/extensions/inline-units.ts #current":
    "modules that the operator has, since each reload forgets the others",
  "server/extensions/inline-units.ts #outdated": "modules of which calls are under way",
  "server/files/mounts.ts #asked": "file systems that are mounted",
  "server/files/temporary.ts #swept": "MAX_SWEPT",
  "server/gate/penalties.ts #penalties": "MAX_SOURCES; ten minutes at most",
  "server/gate/regulars.ts #gone": "MAX_GONE, and the grace of sessions",
  "server/gate/regulars.ts #present": "connections on which somebody was let in",
  "server/gate/strangers.ts #admitted": "connections, since each look forgets those that ended",
  "server/gate/strangers.ts #ports": "addresses that are listened on",
  "server/gate/strangers.ts #strangers": "connections, since each look forgets those that ended",
  "server/jobs/changes.ts #last": "jobs that run",
  "server/jobs/job-index.ts #pending": "changes since the last batch",
  "server/jobs/job.ts #listeners": "channels of sessions, MAX_CHANNELS each",
  "server/jobs/job.ts #readers": "channels of sessions, MAX_CHANNELS each",
  "server/jobs/keys.ts #starting": "calls under way, MAX_CALLS of a session",
  "server/jobs/quota.ts #claimed": "calls under way",
  "server/jobs/register.ts #live": "jobs that run",
  "server/jobs/retention.ts #sizes": "jobs that are kept, by [retention]",
  "server/jobs/starter.ts #expected": "calls under way",
  "server/jobs/starter.ts #starting": "calls under way",
  "server/keepers/keeper-link.ts #inputs": "channels of input, and a keeper's MAX_WRITERS of a job",
  "server/keepers/keeper-link.ts #requests": "calls under way",
  "server/keepers/keepers.ts #living":
    "keepers of this state directory: one, and those that newer builds have retired",
  "server/keepers/reminder.ts #holds": "holders of jobs that run, as the keeper's",
  "server/keepers/reminder.ts #inputs": "writers of jobs that run, as the keeper's",
  "server/logins/logins.ts #known": "users that the configuration's roles run as",
  "server/machine/ownership.ts #known": "one listing of processes",
  "server/machine/ownership.ts #leaders": "one listing of processes",
  "server/runners/crew.ts #ending": "MAX_RUNNERS, of which those are that end",
  "server/runners/crew.ts #working": "MAX_RUNNERS",
  "server/runners/runners.ts #crews":
    "owners who have a runner just now, for each module and each user that roles run as; and packs",
  "server/runners/runners.ts #packs":
    "packs that there are, and earlier versions of them that have not ended yet",
  "server/session/calls.ts #outputs": "MAX_CALLS",
  "server/session/calls.ts #running": "MAX_CALLS",
  "server/session/channels.ts #channels": "MAX_CHANNELS",
  "server/session/channels.ts #own": "MAX_CALLS",
  "server/session/channels.ts #ready": "those of #channels",
  "server/session/deserted.ts #sessions": "MAX_DESERTED_SESSIONS, and the grace",
  "server/session/sessions.ts #sessions": "connections on which somebody was let in, and the deserted ones",
  "server/tasks/memory.ts #known": "executions that wait, by the queue, and the last hundred that are over",
  "server/tasks/seen.ts #old": "GENERATION",
  "server/tasks/seen.ts #young": "GENERATION",
  "server/tasks/tasks.ts #making": "calls under way",
  "server/tasks/tasks.ts #tasks": "MAX_TASKS",
  "server/workspaces/shelf.ts #changes": "calls under way",
  "server/workspaces/shelf.ts #entries": "MAX_WORKSPACES and MAX_PRIVATE_WORKSPACES of a user",
  "server/workspaces/shelf.ts #holds": "sessions",
  "server/workspaces/store.ts #faulty": "files in the state directory at the start",
  "server/workspaces/workspaces.ts #shelves": "users that were let in",
};

const field = /^ {2}(?:readonly )?(#\w+)[^=\n]* = new (?:Map|Set)\b/gm;

test("Every map that lives says what bounds it", async () => {
  const found: string[] = [];
  for (const room of ["server", "keeper"])
    for (const path of new Bun.Glob(`src/${room}/**/*.ts`).scanSync(root)) {
      const text = await Bun.file(resolve(root, path)).text();
      for (const [, name] of text.matchAll(field)) found.push(`${relative("src", path)} ${name}`);
    }
  expect(found.sort()).toEqual(Object.keys(BOUNDS).sort());
});
