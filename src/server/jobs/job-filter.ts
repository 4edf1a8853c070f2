import type { JobFilter, Moment, StateWord } from "../../protocol/filter.ts";
import type { Outcome } from "../../protocol/outcome.ts";
import type { Job } from "./job.ts";

/** Whether a job is meant by a filter. `now`: wall clock, ms. */
export function toPredicate(filter: JobFilter, now: number): (job: Job) => boolean {
  const { states, command, match, labels = [] } = filter;
  const [since, before, endedBefore] = [filter.startedSince, filter.startedBefore, filter.endedBefore].map(
    (moment) => (moment === undefined ? undefined : toTime(moment, now)),
  );
  const tests: ((job: Job) => boolean)[] = [];
  if (states !== undefined) tests.push((job) => states.some((state) => isIn(job, state)));
  if (command !== undefined) tests.push(({ start }) => runs(start, command));
  if (match !== undefined) tests.push(({ start }) => start.argv.join(" ").includes(match));
  for (const label of labels) tests.push(({ start }) => hasLabel(start.labels ?? {}, label));
  if (since !== undefined) tests.push(({ start }) => Date.parse(start.startedAt) >= since);
  if (before !== undefined) tests.push(({ start }) => Date.parse(start.startedAt) < before);
  if (endedBefore !== undefined)
    tests.push(({ exit }) => exit !== undefined && Date.parse(exit.endedAt) < endedBefore);
  return (job) => tests.every((test) => test(job));
}

function toTime(moment: Moment, now: number): number {
  return typeof moment === "number" ? now - moment : Date.parse(moment);
}

function isIn({ exit, holders }: Job, state: StateWord): boolean {
  const outcome = exit?.outcome;
  switch (state) {
    case "running":
      return outcome === undefined;
    case "attached":
      return outcome === undefined && holders > 0;
    case "ended":
      return outcome !== undefined;
    case "succeeded":
      return outcome !== undefined && isSuccess(outcome);
    case "failed":
      return outcome !== undefined && outcome.type !== "cancelled" && !isSuccess(outcome);
    default:
      return outcome?.type === state;
  }
}

function isSuccess(outcome: Outcome): boolean {
  return outcome.type === "returned" || (outcome.type === "exited" && outcome.code === 0);
}

function runs(start: Job["start"], name: string): boolean {
  const [program = ""] = start.argv;
  return start.command === name || program === name || program.slice(program.lastIndexOf("/") + 1) === name;
}

function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const name = equals < 0 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, name) && (equals < 0 || labels[name] === wanted.slice(equals + 1));
}
