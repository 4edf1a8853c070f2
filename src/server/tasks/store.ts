import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { describeError, type Log } from "../../lib/log.ts";
import { Caller } from "../../module/caller.ts";
import { Environment } from "../../protocol/environment.ts";
import { ErrorBody } from "../../protocol/error.ts";
import { HolderId, JobId } from "../../protocol/id.ts";
import { ModuleHash, RestartPolicy, TaskName } from "../../protocol/task.ts";
import { JobLimits } from "../../protocol/terms.ts";
import { isDraft, writeWhole } from "./whole-file.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** What is known of a task whatever happens to the server. */
export const TaskRecord = v.object({
  format: v.literal(1),
  name: TaskName,
  /** Whether it should run, or how it has ended. */
  wish: v.picklist(["run", "stopped", "failed"]),
  error: v.optional(ErrorBody),
  module: ModuleHash,
  restart: RestartPolicy,
  checkpoint: v.boolean(),
  startedAt: v.string(),
  owner: v.string(),
  /** The links of the narrowed token that it was started with. */
  via: v.array(v.string()),
  /** Who its module is told has started it. */
  caller: Caller,
  /** In which it was started, and how many jobs that lets its owner have. */
  role: v.object({ name: v.string(), jobs: v.optional(count) }),
  /** As whom it runs, if not as the server. */
  runAs: v.optional(v.string()),
  cwd: v.string(),
  /** The directory is named without links, and is not to be another by the time it is entered. */
  exact: v.boolean(),
  /** Where its environment is not the server's own. */
  environment: v.object({ set: Environment, unset: v.array(v.string()) }),
  limits: v.optional(JobLimits),
  /** The job that it is, and those that it was before its process was started anew, the last first. */
  job: JobId,
  former: v.array(JobId),
  /** The server's own hold of that job. */
  holder: HolderId,
  restarts: count,
  restored: v.boolean(),
  /** A job of it has ended of which nobody can tell any more what it was given and did not begin. */
  isUncertain: v.boolean(),
  /** When its state was saved last, and how many bytes that takes; the file itself says it. */
  saved: v.optional(v.object({ at: v.string(), bytes: count })),
});
export type TaskRecord = Readonly<v.InferOutput<typeof TaskRecord>>;

/** What is kept of tasks, each in a directory of its name: what it is, what its `init` was given, and its state. */
export class TaskStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** All that can be used. */
  load(log: Log): readonly TaskRecord[] {
    return readdirSync(this.#directory).flatMap((name) => {
      try {
        const directory = join(this.#directory, name);
        for (const file of readdirSync(directory))
          if (isDraft(file)) rmSync(join(directory, file), { force: true });
        const record = v.parse(TaskRecord, JSON.parse(readFileSync(join(directory, "task.json"), "utf8")));
        return [{ ...record, ...findSaved(join(directory, "state")) }];
      } catch (error) {
        log.warn("task unusable", { task: name, error: describeError(error) });
        return [];
      }
    });
  }

  /** Resolves when it is on the disk. */
  async save(record: TaskRecord): Promise<void> {
    const json = new TextEncoder().encode(`${JSON.stringify(record)}\n`);
    await this.#write(record.name, "task.json", [json]);
  }

  /** What `init` is given, also when the process is started anew. */
  async saveArgs(name: TaskName, args: Uint8Array): Promise<void> {
    await this.#write(name, "args", [args]);
  }

  readArgs(name: TaskName): Promise<Uint8Array> {
    return Bun.file(this.#toPath(name, "args")).bytes();
  }

  /** The state with which the next process begins. Answers how many bytes it takes. */
  async saveState(name: TaskName, state: AsyncIterable<Uint8Array>): Promise<number> {
    let bytes = 0;
    async function* measure() {
      for await (const chunk of state) {
        bytes += chunk.length;
        yield chunk;
      }
    }
    await this.#write(name, "state", measure());
    return bytes;
  }

  readState(name: TaskName): Promise<Uint8Array> {
    return Bun.file(this.#toPath(name, "state")).bytes();
  }

  /** Bytes of what a process of this task is given to begin with. */
  measureOrder({ name, saved }: TaskRecord): number {
    const path = this.#toPath(name, saved === undefined ? "args" : "state");
    return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  async removeState(name: TaskName): Promise<void> {
    await rm(this.#toPath(name, "state"), { force: true });
  }

  async remove(name: TaskName): Promise<void> {
    await rm(join(this.#directory, name), { recursive: true, force: true });
  }

  async #write(
    name: TaskName,
    file: string,
    content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<void> {
    mkdirSync(join(this.#directory, name), { recursive: true, mode: 0o700 });
    await writeWhole(this.#toPath(name, file), content, `task "${name}"`);
  }

  #toPath(name: TaskName, file: string): string {
    return join(this.#directory, name, file);
  }
}

function findSaved(path: string): Pick<TaskRecord, "saved"> {
  const status = statSync(path, { throwIfNoEntry: false });
  return status ? { saved: { at: status.mtime.toISOString(), bytes: status.size } } : {};
}
