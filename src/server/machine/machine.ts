import type { MachineAccess } from "../../commands/access/machine.ts";
import type { WorkspaceAccess } from "../../commands/access/workspace.ts";
import type { Ability } from "../../commands/define.ts";
import {
  errorCode,
  findObstacleSoon,
  findProgramSoon,
  isPath,
  quote,
  StartError,
} from "../../process/program.ts";
import type { Found, MachineProcess } from "../../protocol/machine.ts";
import type { Confinement } from "../files/confinement.ts";
import { OutsideError } from "../files/outside.ts";
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

/** Who asks a machine. */
export interface MachineCaller {
  /** What he may know of those. */
  readonly jobs: KnownJobs;
  /** Where he may look for programs, if not everywhere. */
  readonly confinement: Confinement | undefined;
  readonly signal: AbortSignal;
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

  /** What commands may do with it, in this workspace. */
  access(workspace: Place, { jobs, confinement, signal }: MachineCaller): MachineAccess {
    const { environment } = this.#options;
    return {
      info: () => readInfo(signal),
      account: () => readAccount(signal),
      processes: (signal) => list(jobs, signal),
      findProgram: (name) => find(name, workspace, confinement),
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

async function find(name: string, workspace: Place, confinement: Confinement | undefined): Promise<Found> {
  try {
    const look = confinement && ((file: string) => findObstacleIn(confinement, file, name));
    const path = await findProgramSoon(name, workspace.resolve("."), workspace.environment["PATH"], look);
    return { name, path };
  } catch (error) {
    if (error instanceof StartError) return { name, reason: error.reason };
    throw error;
  }
}

/** Of a directory in the PATH that a caller may not use nothing is told, not even that: there is no program in it. */
async function findObstacleIn(
  confinement: Confinement,
  file: string,
  name: string,
): Promise<string | undefined> {
  try {
    await using place = await confinement.openEnd(Buffer.from(file));
    await place.get();
    return await findObstacleSoon(String(place.path));
  } catch (error) {
    if (!(error instanceof OutsideError)) return errorCode(error);
    if (!isPath(name)) return "ENOENT";
    throw new StartError("program_not_found", `Cannot run ${quote(name)}: it ${error.fault}`);
  }
}
