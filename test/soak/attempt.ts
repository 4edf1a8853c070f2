import type { JobSummary } from "../../src/protocol/job.ts";
import { eventually } from "../support/eventually.ts";
import type { Clients, Heard } from "./client.ts";
import { type Program, runLocally, toArgv, type Written } from "./program.ts";
import type { Stage } from "./stage.ts";

/** How an attempt at running a program through Farhand went; every one of these is right. */
export type Verdict =
  /** The client had everything, and the right exit code. */
  | "whole"
  /** The client failed honestly or was killed; the job was followed to its end, and everything was there. */
  | "followed up"
  /** The same, and the input had gone with the client: the job was ended, and what it wrote until then was right. */
  | "cut off"
  /** The client failed honestly or was killed before the job began. */
  | "not started";

/** Farhand's own failure, and so never a program's. */
const FAILED = 125;
/** Times that a job is followed before it is given up. */
const FOLLOWS = 20;
/** Milliseconds in which a server that was restarted has every job's end. */
const PATIENCE = 120_000;

const GLOBALS = ["--heartbeat", "1s", "--connect-timeout", "60s", "--reconnect-timeout", "60s"];

export interface AttemptOptions {
  readonly stage: Stage;
  readonly clients: Clients;
  /** Told what a client said that failed by itself. */
  readonly onFailure: (sentence: string) => void;
}

/** Runs one program there and here, and compares. Throws what is wrong. */
export async function attempt(
  program: Program,
  { stage, clients, onFailure }: AttemptOptions,
): Promise<Verdict> {
  const expected = runLocally(program, stage.world.home);
  const heard = await start(program, stage, clients);
  const written = await expected;
  const isDetached = program.mode === "detached";
  if (!heard.isKilled && heard.code !== FAILED && !isDetached) {
    compare(heard, written, `The client said`);
    checkOnce(program, stage, true);
    return "whole";
  }
  if (!heard.isKilled && heard.code === FAILED) onFailure(toSentence(heard.own));
  if (!isDetached) comparePart(heard, written, "The client that failed had written");
  const isAccepted = isDetached && heard.code === 0;
  const verdict = await followUp(program, written, { stage, clients, isAccepted });
  return isAccepted && verdict === "followed up" ? "whole" : verdict;
}

/** Looks again for a job that had not been there: a call may be read long after its client was killed. */
export async function lookAgain(program: Program, stage: Stage, clients: Clients): Promise<Verdict> {
  if (checkOnce(program, stage).length === 0) return "not started";
  const written = await runLocally(program, stage.world.home);
  return await followUp(program, written, { stage, clients, isAccepted: false });
}

interface FollowOptions extends Pick<AttemptOptions, "stage" | "clients"> {
  /** Whether the job must be there. */
  readonly isAccepted: boolean;
}

/** Reads what a job wrote whose client did not. */
async function followUp(
  program: Program,
  written: Written,
  { stage, clients, isAccepted }: FollowOptions,
): Promise<Verdict> {
  const [job] = checkOnce(program, stage, isAccepted);
  if (job === undefined) return "not started";
  if (program.stdin !== undefined) return await cutOff(job, written, stage);
  compare(await follow(job, stage, clients), written, "A follower was told");
  return "followed up";
}

/** The last thing that a client said, without what differs from one to the next. */
function toSentence(own: string): string {
  const last = own.trim().split("\n").at(-1) ?? "";
  return last.replace(/[0-9a-f-]{36}|\d+/g, "N");
}

function start(program: Program, { env, world }: Stage, clients: Clients): Promise<Heard> {
  const options = { plain: [], json: ["--json"], detached: ["-d"] }[program.mode];
  const { stdin } = program;
  return clients.run([...GLOBALS, "exec", ...options, "--", ...toArgv(program)], {
    env,
    cwd: world.home,
    stdin,
  });
}

/** Reads a job's output from the beginning until a client had all of it. */
async function follow(job: string, { env, world }: Stage, clients: Clients): Promise<Heard> {
  for (let round = 0; round < FOLLOWS; round++) {
    const heard = await clients.run([...GLOBALS, "follow", "--json", job], { env, cwd: world.home });
    if (!heard.isKilled && heard.code !== FAILED) return heard;
  }
  throw new Error(`Job ${job} could not be followed to its end in ${FOLLOWS} attempts`);
}

/** A job that may wait for the rest of its input for ever is ended, unless it has ended by itself: then it had all of it. */
async function cutOff(job: string, written: Written, { world }: Stage): Promise<Verdict> {
  let summary: JobSummary | undefined;
  // The server may be away just now, and is asked directly.
  await eventually(async () => {
    await world.farhand(["kill", "--grace", "0s", job]);
    summary = await world.job(job).catch(() => undefined);
    return summary?.outcome !== undefined;
  }, PATIENCE);
  const { stdout } = await world.shell(`farhand follow ${job} | base64 -w0`);
  const said = Buffer.from(stdout, "base64");
  const isRight =
    summary?.outcome?.type === "exited" ? said.equals(written.stdout) : isPart(said, written.stdout);
  if (!isRight)
    throw new Error(`Job ${job} did not get all of its input, and wrote ${said.length} bytes all the same`);
  return "cut off";
}

/** The jobs of a program: one, or none where that may be. */
function checkOnce({ mark }: Program, { findJobs }: Stage, isCertain = false): readonly string[] {
  const jobs = findJobs(mark);
  if (jobs.length > 1) throw new Error(`It ran ${jobs.length} times: ${jobs.join(", ")}`);
  if (isCertain && jobs.length === 0) throw new Error("It was accepted, and there is no such job");
  return jobs;
}

function compare(heard: Heard, written: Written, who: string): void {
  comparePart(heard, written, who);
  const counts = ({ code, stdout, stderr }: Written) =>
    `${stdout.length} and ${stderr.length} bytes, exit code ${code}`;
  if (counts(heard) !== counts(written)) {
    throw new Error(`${who} ${counts(heard)}, not ${counts(written)}; ${heard.own.trim()}`);
  }
}

function comparePart(heard: Heard, written: Written, who: string): void {
  for (const stream of ["stdout", "stderr"] as const) {
    if (!isPart(heard[stream], written[stream]))
      throw new Error(`${who} other bytes on ${stream}; ${heard.own.trim()}`);
  }
}

function isPart(part: Buffer, whole: Buffer): boolean {
  return part.equals(whole.subarray(0, part.length));
}
