import { turn } from "../../lib/abort.ts";
import type { MachineProcess } from "../../protocol/machine.ts";
import { readUsers } from "../passwd.ts";
import { readOutput } from "./output.ts";

/** A process as the system tells of it, with what says which job it is of. */
export interface FoundProcess extends Omit<MachineProcess, "job"> {
  /** Who leads its session, where the system tells. */
  readonly session: number | undefined;
  /** What tells it from others of the same pid, in the system's own words. */
  readonly startTime: string;
  /** The ids of jobs that its environment names. */
  readonly marks: readonly string[];
}

/** Milliseconds of looking after which everything else has a turn. */
const SLICE = 5;

/** Every process of the machine. Those of Linux are looked at one by one, so that none is told of long after it has gone. */
export async function* listProcesses(signal: AbortSignal): AsyncGenerator<FoundProcess, void, void> {
  switch (process.platform) {
    case "linux": {
      const { walkLinux } = await import("./linux-processes.ts");
      for await (const found of inTurns(walkLinux(readUsers()), signal)) if (found !== undefined) yield found;
      return;
    }
    case "win32": {
      const { CIM_PROCESSES, parseCim } = await import("./windows-processes.ts");
      const list = await readOutput(toPowershell(CIM_PROCESSES), signal);
      return yield* parseCim(list.toString());
    }
    default: {
      const { parsePs, PS_NAMES, PS_PROCESSES } = await import("./macos-processes.ts");
      const [processes, names] = await Promise.all([
        readOutput(PS_PROCESSES, signal),
        readOutput(PS_NAMES, signal),
      ]);
      yield* parsePs(processes.toString("latin1"), names.toString("latin1"));
    }
  }
}

/** What a generator gives, with everything else in between, however long it takes. Ends by throwing when the signal is aborted. */
export async function* inTurns<T>(items: Iterable<T>, signal: AbortSignal): AsyncGenerator<T, void, void> {
  let since = performance.now();
  for (const item of items) {
    yield item;
    if (performance.now() - since < SLICE) continue;
    await turn();
    signal.throwIfAborted();
    since = performance.now();
  }
}

function toPowershell(command: string): string[] {
  return ["powershell", "-NoProfile", "-NonInteractive", "-Command", command];
}
