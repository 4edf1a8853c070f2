import { describe, expect, test } from "bun:test";
import { listJobs } from "../../src/client/listing.ts";
import { Session } from "../../src/client/session.ts";
import { type JobEvent, watchJobs } from "../../src/client/watch.ts";
import type { JobId } from "../../src/protocol/id.ts";
import type { JobState, JobSummary } from "../../src/protocol/job.ts";
import { ServerPeer } from "../support/server-peer.ts";

const id = (number: number) => `00000000-0000-7000-8000-${String(number).padStart(12, "0")}` as JobId;
const createJob = (number: number, state: JobState = "running"): JobSummary => ({
  ...{ id: id(number), number, command: "exec", argv: ["x"], cwd: "/", owner: "me" },
  ...{ state, attached: false, startedAt: "2026-01-01T00:00:00.000Z" },
});

/** A server that gives these answers to calls, one after another, and then none. */
function setup(...answers: readonly object[]) {
  const peer = new ServerPeer();
  const session = new Session(peer, { heartbeat: 15_000, patience: 10_000, now: () => performance.now() });
  const left = [...answers];
  peer.onFrame = (frame) => {
    if (frame.type !== "call") return;
    const value = left.shift();
    if (value === undefined) return;
    queueMicrotask(() => peer.say({ type: "result", call: frame.call, result: { encoding: "json", value } }));
  };
  peer.welcome();
  const asked = () => peer.of("call").map(({ command, input }) => [command, input.value]);
  return { session, asked };
}

const nothing = { isReset: false, changed: [], removed: [] };
const page = (...jobs: JobSummary[]) => ({ jobs, more: false, next: 1, filtered: true });
const tell = (event: JobEvent) =>
  event.type === "removed" ? ["removed", event.number] : [event.type, event.job.number, event.job.state];

/** The first batches that come. */
async function take(events: AsyncGenerator<readonly JobEvent[]>, count: number) {
  const batches: unknown[] = [];
  for await (const batch of events) if (batches.push(batch.map(tell)) === count) break;
  return batches;
}

describe("watchJobs()", () => {
  test("asks where it begins before it lists, and then goes on from answer to answer", async () => {
    const { session, asked } = setup(
      { ...nothing, cursor: "a" },
      page(createJob(2), createJob(1, "closed")),
      { ...nothing, cursor: "b", changed: [{ job: createJob(2, "closed"), isMeant: true }] },
      {
        ...nothing,
        cursor: "c",
        changed: [{ job: createJob(2, "closed"), isMeant: true }],
        removed: [id(7)],
      },
      { ...nothing, cursor: "d", changed: [{ job: createJob(3), isMeant: true }], removed: [id(1)] },
    );
    const stop = new AbortController();
    expect(await take(watchJobs(session, undefined, stop.signal), 3)).toEqual([
      [
        ["job", 1, "closed"],
        ["job", 2, "running"],
      ],
      [["job", 2, "closed"]],
      // What is no news, or of a job never told of, is not told.
      [
        ["job", 3, "running"],
        ["removed", 1],
      ],
    ]);
    expect(asked().map(([command]) => command)).toEqual([
      "job-changes",
      "jobs",
      ...Array(3).fill("job-changes"),
    ]);
    expect(asked().slice(2)).toEqual(["a", "b", "c"].map((cursor) => ["job-changes", { cursor }]));
  });

  test("lists anew when the server does not know any more, and tells only what is different", async () => {
    const { session } = setup(
      { ...nothing, cursor: "a" },
      page(createJob(3), createJob(2), createJob(1)),
      { ...nothing, cursor: "b", isReset: true },
      page(createJob(4), createJob(3), createJob(1, "lost")),
    );
    expect(await take(watchJobs(session, undefined, new AbortController().signal), 2)).toEqual([
      [
        ["job", 1, "running"],
        ["job", 2, "running"],
        ["job", 3, "running"],
      ],
      [
        ["removed", 2],
        ["job", 1, "lost"],
        ["job", 4, "running"],
      ],
    ]);
  });

  test("tells of a job that the filter means no more, and only of one that it meant", async () => {
    const { session } = setup({ ...nothing, cursor: "a" }, page(createJob(1)), {
      ...nothing,
      cursor: "b",
      changed: [
        { job: createJob(9, "closed"), isMeant: false },
        { job: createJob(1, "closed"), isMeant: false },
      ],
    });
    const events = watchJobs(session, { states: ["running"] }, new AbortController().signal);
    expect(await take(events, 2)).toEqual([[["job", 1, "running"]], [["left", 1, "closed"]]]);
  });
});

describe("listJobs()", () => {
  test("goes on behind a page that is empty, from where the server says", async () => {
    const { session, asked } = setup(
      { jobs: [], more: true, next: 500, filtered: true },
      { jobs: [createJob(7)], more: true, next: 7, filtered: true },
      { jobs: [], more: false, next: 1, filtered: true },
    );
    const { jobs, more } = await listJobs(session, { filter: { labels: ["a"] } });
    expect([jobs.map(({ number }) => number), more]).toEqual([[7], false]);
    expect(asked().map(([, input]) => (input as { before?: number }).before)).toEqual([undefined, 500, 7]);
  });

  test("refuses a list from a server that knows of no filter: kill --all would end every job", async () => {
    const { session } = setup({ jobs: [createJob(1)], more: false });
    expect(listJobs(session, { filter: { labels: ["a"] } })).rejects.toThrow("this server is too old");
  });

  test("takes pages from an older server without a filter, by the last job's number", async () => {
    const { session, asked } = setup(
      { jobs: [createJob(2)], more: true },
      { jobs: [createJob(1)], more: false },
    );
    expect((await listJobs(session, {})).jobs).toHaveLength(2);
    expect(asked()[1]).toEqual(["jobs", { before: 2 }]);
  });
});
