import { expect, test } from "bun:test";
import type { JobQuery } from "../../../src/commands/access/jobs.ts";
import { Job } from "../../../src/server/jobs/job.ts";
import type { IndexedJob } from "../../../src/server/jobs/job-index.ts";
import { listPage, type Shelf } from "../../../src/server/jobs/listing.ts";
import { createStart } from "../../support/start.ts";

/** Jobs 1 to `count`, of which every `tenth`'s number is labelled. */
function createShelf(count: number, argv: string[] = ["true"]): Shelf {
  const all = Array.from({ length: count }, (_, index): IndexedJob => {
    const number = index + 1;
    const labels = number % 10 === 0 ? { tenth: "yes" } : {};
    return { start: createStart({ number, labels, argv }), closed: true };
  });
  return {
    list: (before, limit) => {
      const end = Math.min(count, before - 1);
      return all.slice(Math.max(0, end - limit), end).reverse();
    },
    toJob: ({ start }) => new Job(start, undefined, { next: 0, position: 0 }),
    isVisible: () => true,
    summarize: ({ start: { job: id, number, command, argv, cwd, owner, startedAt } }) => ({
      ...{ id, number, command, argv, cwd, owner, startedAt },
      state: "closed",
      attached: false,
    }),
  };
}

async function listAll(shelf: Shelf, query: Partial<JobQuery>) {
  const numbers: number[] = [];
  let pages = 0;
  for (let [before, more] = [undefined as number | undefined, true]; more; pages++) {
    const page = await listPage(shelf, { before, limit: undefined, filter: undefined, ...query }, 0);
    numbers.push(...page.jobs.map(({ number }) => number));
    ({ more, next: before } = page);
  }
  return { numbers, pages };
}

test("listPage() gives every job once, newest first, whatever the filter and the size of a page", async () => {
  const shelf = createShelf(1_234);
  const all = Array.from({ length: 1_234 }, (_, index) => 1_234 - index);
  expect((await listAll(shelf, {})).numbers).toEqual(all);
  const tenths = all.filter((number) => number % 10 === 0);
  const filter = { labels: ["tenth"] };
  for (const limit of [1, 7, undefined])
    expect((await listAll(shelf, { filter, limit })).numbers).toEqual(tenths);
});

test("a page that reaches its limit says that there may be more, and the last one that there is not", async () => {
  const shelf = createShelf(20);
  const page = (before: number | undefined, limit: number) =>
    listPage(shelf, { before, limit, filter: { labels: ["tenth"] } }, 0);
  expect(await page(undefined, 1)).toMatchObject({ jobs: [{ number: 20 }], more: true });
  expect(await page(20, 1)).toMatchObject({ jobs: [{ number: 10 }], more: false });
});

test("a filter that matches nothing looks at a bounded number of jobs for each answer", async () => {
  const shelf = createShelf(12_000);
  const { numbers, pages } = await listAll(shelf, { filter: { match: "nothing" } });
  expect([numbers, pages]).toEqual([[], 3]);
});

test("an answer holds no more bytes than a frame has room for", async () => {
  const shelf = createShelf(100, ["x".repeat(20_000)]);
  const { jobs, more } = await listPage(shelf, { before: undefined, limit: undefined, filter: undefined }, 0);
  expect(more).toBe(true);
  expect(JSON.stringify(jobs).length).toBeLessThan(64 * 1024);
  expect((await listAll(shelf, {})).numbers).toHaveLength(100);
});
