import * as v from "valibot";
import type { MachineAccess } from "../../commands/access/machine.ts";
import type { WorkspaceAccess } from "../../commands/access/workspace.ts";
import type { Ability } from "../../commands/define.ts";
import { findProgramSoon, StartError } from "../../process/program.ts";
import { JobId } from "../../protocol/id.ts";
import type { JobName } from "../../protocol/job.ts";
import type { Found, MachineProcess } from "../../protocol/machine.ts";
import { type Identity, isVisible } from "../auth/identity.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { readInfo } from "./info.ts";
import { Ownership } from "./ownership.ts";
import { canSuspend, planPower, readPowerFacts, runPower } from "./power.ts";
import { inTurns, listProcesses } from "./processes.ts";
import { readAccount } from "./users.ts";

export interface MachineOptions {
  /** Knows which processes are of jobs. */
  readonly jobs: Pick<Jobs, "leaders" | "find">;
  /** The server's own as jobs have it: its PATH is where programs of the system are looked for. */
  readonly environment: Readonly<Record<string, string>>;
}

/** The machine that this server runs on. */
export class Machine {
  readonly #options: MachineOptions;

  constructor(options: MachineOptions) {
    this.#options = options;
  }

  /** Whether it can do what some commands need; looked up anew each time. */
  isAble(ability: Ability): boolean {
    switch (ability) {
      case "suspend":
        return canSuspend(readPowerFacts());
    }
  }

  /** What commands may do with it, in this workspace. Of jobs that their caller may not see nothing is told. */
  access(workspace: WorkspaceAccess, viewer: Identity, signal: AbortSignal): MachineAccess {
    const { environment } = this.#options;
    return {
      info: () => readInfo(signal),
      account: () => readAccount(signal),
      processes: (signal) => this.#listProcesses(viewer, signal),
      findProgram: (name) => find(name, workspace),
      planPower: (action) => planPower(action, readPowerFacts(), environment["PATH"]),
      runPower: (argv) => runPower(argv, environment),
    };
  }

  async *#listProcesses(viewer: Identity, signal: AbortSignal): AsyncGenerator<MachineProcess, void, void> {
    const ownership = new Ownership((id) => this.#findJob(id, viewer));
    for await (const leader of inTurns(this.#options.jobs.leaders(viewer), signal)) ownership.add(leader);
    for await (const found of listProcesses(signal)) {
      const job = ownership.find(found);
      const { session: _session, startTime: _startTime, marks: _marks, ...shown } = found;
      yield { ...shown, ...(job && { job }) };
    }
  }

  #findJob(id: string, viewer: Identity): JobName | undefined {
    const parsed = v.safeParse(JobId, id);
    const job = parsed.success ? this.#options.jobs.find(parsed.output)?.start : undefined;
    return job && isVisible(job, viewer) ? { id: job.job, number: job.number } : undefined;
  }
}

async function find(name: string, workspace: WorkspaceAccess): Promise<Found> {
  try {
    const path = await findProgramSoon(name, workspace.resolve("."), workspace.environment["PATH"]);
    return { name, path };
  } catch (error) {
    if (error instanceof StartError) return { name, reason: error.reason };
    throw error;
  }
}
