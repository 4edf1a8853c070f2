import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import type { Environment } from "../../client/config.ts";
import { invoke, invokeStream, toEvent } from "../../client/invoke.ts";
import { listJobs } from "../../client/listing.ts";
import { readHosts } from "../../client/hosts.ts";
import type { Session } from "../../client/session.ts";
import { describeState } from "../../commands/describe.ts";
import { ls } from "../../commands/ls.ts";
import { taskList } from "../../commands/task-list.ts";
import { defaultConfigHome } from "../../lib/config-home.ts";
import { AppError } from "../../protocol/error.ts";
import type { Candidate } from "./candidate.ts";

/** What words on a command line name that no program knows by itself. */
export interface Source {
  hosts(): Promise<readonly Candidate[]>;
  /** Those that are kept under a name. */
  keptHosts(): Promise<readonly Candidate[]>;
  jobs(isRunning: boolean): Promise<readonly Candidate[]>;
  workspaces(): Promise<readonly Candidate[]>;
  tasks(): Promise<readonly Candidate[]>;
  /** Files on the server whose path goes on from this one. */
  paths(text: string): Promise<readonly Candidate[]>;
}

/** Jobs that are offered, the newest. */
const MAX_JOBS = 50;
/** Files that are offered. */
const MAX_FILES = 1_000;

/** What a server tells. `open`: gives a session for a moment; `signal`: how long whoever completes is ready to wait. */
export function createSource(
  open: (signal: AbortSignal) => Promise<Session>,
  env: Environment,
  signal: AbortSignal,
): Source {
  return {
    hosts: async () => {
      const kept = listKept(env);
      const others = listHosts(env).filter((name) => kept.every(({ value }) => value !== name));
      return [...kept, ...others.map((value) => ({ value }))];
    },
    keptHosts: async () => listKept(env),
    async jobs(isRunning) {
      await using session = await open(signal);
      const filter = isRunning ? { filter: { states: ["running" as const] } } : {};
      const { jobs } = await listJobs(session, { limit: MAX_JOBS, ...filter }, signal);
      const numbers = jobs.map((job) => ({
        value: String(job.number),
        description: `${job.argv.join(" ")} (${describeState(job)})`,
      }));
      return [...numbers, { value: "@last", description: "your own last one" }];
    },
    async workspaces() {
      await using session = await open(signal);
      const answer = await session.call("workspace-list", {}, { signal, isIdempotent: true });
      const { workspaces } = v.parse(Workspaces, answer);
      return workspaces.map(({ name }) => ({ value: name }));
    },
    async tasks() {
      await using session = await open(signal);
      const { tasks } = await invoke(session, taskList, {}, signal);
      return tasks.map(({ name, state }) => ({ value: name, description: state }));
    },
    async paths(text) {
      await using session = await open(signal);
      return await listPaths(session, text, signal);
    },
  };
}

const Workspaces = v.object({ workspaces: v.array(v.object({ name: v.string() })) });

/** Names that could not be written on a line, since they are no UTF-8, are left out. */
async function listPaths(session: Session, text: string, signal: AbortSignal): Promise<readonly Candidate[]> {
  const directory = text.slice(0, text.lastIndexOf("/") + 1);
  const name = text.slice(directory.length);
  const enough = new AbortController();
  const input = {
    // By its bytes, so that it is no pattern.
    ...(directory !== "" && { paths: [{ bytes: Buffer.from(directory).toString("base64") }] }),
    hidden: name.startsWith("."),
  };
  const { output } = invokeStream(session, ls, input, { signal: AbortSignal.any([signal, enough.signal]) });
  const found: Candidate[] = [];
  for await (const packet of output) {
    output.consumed(packet);
    if (packet.type !== "value") continue;
    const file = toEvent(ls, packet);
    if (file.nameBytes !== undefined || !file.name.startsWith(name)) continue;
    const isDirectory = file.type === "directory";
    const path =
      directory === "" && file.name.startsWith("-") ? `./${file.name}` : `${directory}${file.name}`;
    // A link may lead to a directory.
    found.push({ value: isDirectory ? `${path}/` : path, isOpen: isDirectory || file.type === "link" });
    if (found.length < MAX_FILES) continue;
    enough.abort(new AppError("cancelled", "That is enough"));
    break;
  }
  return found;
}

function listKept(env: Environment): readonly Candidate[] {
  try {
    const hosts = readHosts(defaultConfigHome(env));
    return [...hosts].map(([value, { url }]) => ({ value, description: url }));
  } catch {
    return []; // they cannot be used, which whoever uses one is told
  }
}

/** The server of this machine, the one of the environment, and those that ssh knows by a name. */
function listHosts(env: Environment): readonly string[] {
  const own = env["FARHAND_HOST"] ? [env["FARHAND_HOST"]] : [];
  return [...new Set([...own, "localhost", ...readSshHosts()])];
}

function readSshHosts(): readonly string[] {
  try {
    const config = readFileSync(join(homedir(), ".ssh", "config"), "utf8");
    const names = [...config.matchAll(/^[ \t]*host[ \t=]+(.+)$/gim)].flatMap(([, names = ""]) =>
      names.trim().split(/\s+/),
    );
    return names.filter((name) => /^[\w.-]+$/.test(name));
  } catch {
    return []; // there is none
  }
}
