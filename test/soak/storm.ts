import { privateBytes } from "../support/memory.ts";
import { Random } from "../support/random.ts";
import { attempt, lookAgain, type Verdict } from "./attempt.ts";
import { wreakHavoc } from "./chaos.ts";
import { Clients } from "./client.ts";
import { createProgram, type Program } from "./program.ts";
import { openStage, type Stage } from "./stage.ts";

export interface StormOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Programs that run at a time. */
  readonly width?: number;
  readonly log?: (line: string) => void;
}

/** What happened in a storm. */
export interface Report {
  readonly seed: number;
  readonly jobs: number;
  readonly faults: number;
  /** How the jobs went, and which faults struck: how often each. */
  readonly verdicts: Readonly<Record<string, number>>;
  readonly kinds: Readonly<Record<string, number>>;
  readonly struck: Readonly<Record<string, number>>;
  /** What clients said that failed by themselves, honestly: how often each. */
  readonly failures: Readonly<Record<string, number>>;
  /** What was wrong, a sentence each; empty when all is well. */
  readonly wrongs: readonly string[];
  /** Of front and keeper in the end. */
  readonly privateBytes: readonly number[];
}

/** Jobs and faults in ten minutes at least; in less time, as many fewer. */
const FLOORS = { jobs: 500, faults: 100, seconds: 600 };

/** Runs programs through Farhand for a while as clients, fronts and the network fail, and compares with what they do alone. */
export async function storm({ seconds, seed, width = 24, log = () => {} }: StormOptions): Promise<Report> {
  const random = new Random(seed);
  await using stage = await openStage();
  const clients = new Clients();
  const counts = {
    verdicts: createTally(),
    kinds: createTally(),
    struck: createTally(),
    failures: createTally(),
  };
  const wrongs: string[] = [];
  const signal = AbortSignal.timeout(seconds * 1_000);
  let jobs = 0;
  let isOver = false;
  const unstarted: Program[] = [];
  const judge = async (program: Program, run: () => Promise<Verdict>) => {
    try {
      const verdict = await run();
      if (verdict === "not started" && !isOver) unstarted.push(program);
      else counts.verdicts.add(verdict);
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      wrongs.push(`${program.mark} (${program.kind}, ${program.mode}): ${what}`);
      log(wrongs.at(-1) ?? "");
    }
  };
  const options = { stage, clients, onFailure: counts.failures.add };
  const work = async () => {
    while (!signal.aborted) {
      const program = createProgram(random, jobs++);
      counts.kinds.add(`${program.kind}, ${program.mode}`);
      await judge(program, () => attempt(program, options));
    }
  };
  const havoc = wreakHavoc({ stage, clients, random, signal, onFault: counts.struck.add });
  await Promise.all([havoc, ...Array.from({ length: width }, work)]);
  isOver = true;
  for (const program of unstarted) await judge(program, () => lookAgain(program, stage, clients));
  wrongs.push(...(await findLeftovers(stage)));
  const faults = counts.struck.total();
  if (jobs < (FLOORS.jobs * seconds) / FLOORS.seconds) wrongs.push(`Only ${jobs} jobs were run`);
  if (faults < (FLOORS.faults * seconds) / FLOORS.seconds) wrongs.push(`Only ${faults} faults struck`);
  return {
    seed,
    jobs,
    faults,
    verdicts: counts.verdicts.counts,
    kinds: counts.kinds.counts,
    struck: counts.struck.counts,
    failures: counts.failures.counts,
    wrongs,
    privateBytes: [stage.front(), stage.keeper()].map(privateBytes),
  };
}

/** Programs that still run, and jobs that are not over, when everything was waited for. */
async function findLeftovers({ world }: Stage): Promise<readonly string[]> {
  const processes = world.processes(/ soak-\d+-\d+\. $/);
  const { jobs } = await world.status();
  const left = processes.length === 0 ? [] : [`${processes.length} programs still run`];
  return jobs.running === 0 ? left : [...left, `${jobs.running} jobs are still running`];
}

function createTally() {
  const counts: Record<string, number> = {};
  return {
    counts,
    add: (name: string) => void (counts[name] = (counts[name] ?? 0) + 1),
    total: () => Object.values(counts).reduce((sum, count) => sum + count, 0),
  };
}
