import type { MachineAccess } from "../../commands/access/machine.ts";
import type { WorkspaceAccess } from "../../commands/access/workspace.ts";
import type { Ability } from "../../commands/define.ts";
import { findProgramSoon, StartError } from "../../process/program.ts";
import type { Found, MachineProcess } from "../../protocol/machine.ts";
import { readInfo } from "./info.ts";
import type { KnownJobs } from "./known-jobs.ts";
import { Ownership } from "./ownership.ts";
import { canSuspend, planPower, readPowerFacts, runPower } from "./power.ts";
import { inTurns, listProcesses } from "./processes.ts";
import { readAccount } from "./users.ts";

export interface MachineOptions {
  /** The server's own as jobs have it: its PATH is where programs of the system are looked for. */
  readonly environment: Readonly<Record<string, string>>;
}

type Place = Pick<WorkspaceAccess, "resolve" | "environment">;

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

  /** What commands may do with it, in this workspace; `jobs`: what their caller may know of those. */
  access(workspace: Place, jobs: KnownJobs, signal: AbortSignal): MachineAccess {
    const { environment } = this.#options;
    return {
      info: () => readInfo(signal),
      account: () => readAccount(signal),
      processes: (signal) => list(jobs, signal),
      findProgram: (name) => find(name, workspace),
      planPower: (action) => planPower(action, readPowerFacts(), environment["PATH"]),
      runPower: (argv) => runPower(argv, environment),
    };
  }
}

async function* list(jobs: KnownJobs, signal: AbortSignal): AsyncGenerator<MachineProcess, void, void> {
  const ownership = new Ownership((id) => jobs.findName(id));
  for await (const leader of inTurns(jobs.leaders(), signal)) ownership.add(leader);
  for await (const found of listProcesses(signal)) {
    const job = ownership.find(found);
    const { session: _session, startTime: _startTime, marks: _marks, ...shown } = found;
    yield { ...shown, ...(job && { job }) };
  }
}

async function find(name: string, workspace: Place): Promise<Found> {
  try {
    const path = await findProgramSoon(name, workspace.resolve("."), workspace.environment["PATH"]);
    return { name, path };
  } catch (error) {
    if (error instanceof StartError) return { name, reason: error.reason };
    throw error;
  }
}
