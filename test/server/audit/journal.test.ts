import { describe, expect, test } from "bun:test";
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Journal } from "../../../src/server/audit/journal.ts";
import { createDraft } from "../../../src/server/audit/line.ts";
import { verifyAudit } from "../../../src/server/audit/verification.ts";
import { openDirectory } from "../../support/directory.ts";

function setup({ fileBytes = 16 * 1024 * 1024 } = {}) {
  const root = openDirectory();
  const directory = join(root.path, "audit");
  let clock = Date.parse("2026-11-01T00:00:00Z");
  const open = () => {
    const journal = new Journal(directory, { now: () => new Date(clock), fileBytes });
    journal.open();
    return journal;
  };
  const tell = (journal: Journal, ...names: string[]) =>
    journal.append(names.map((name) => createDraft(new Date(clock), { event: "call", name })));
  const files = () =>
    readdirSync(directory)
      .filter((name) => name.endsWith(".ndjson"))
      .sort();
  const path = (index = 0) => join(directory, files()[index] ?? "");
  const lines = (index = 0) => readFileSync(path(index), "utf8").split("\n").slice(0, -1);
  return {
    directory,
    open,
    tell,
    files,
    path,
    lines,
    rewrite: (lines: readonly string[], index = 0) =>
      writeFileSync(path(index), lines.map((line) => `${line}\n`).join("")),
    pass: (ms: number) => void (clock += ms),
    prove: (expect?: string) => verifyAudit(directory, expect),
    [Symbol.dispose]: () => root[Symbol.dispose](),
  };
}

describe("A journal", () => {
  test("numbers its lines, chains them, and keeps its files to its owner", async () => {
    using world = setup();
    using journal = world.open();
    world.tell(journal, "one", "two");
    world.tell(journal, "three");
    expect(world.lines().map((line) => JSON.parse(line))).toMatchObject([
      { n: 1, event: "call", name: "one", prev: "0".repeat(64) },
      { n: 2, event: "call", name: "two" },
      { n: 3, event: "call", name: "three", time: "2026-11-01T00:00:00.000Z" },
    ]);
    expect(statSync(world.path()).mode & 0o777).toBe(0o600);
    expect(await world.prove()).toMatchObject({
      holds: true,
      lines: 3,
      first: 1,
      last: 3,
      hash: journal.last.hash,
    });
  });

  test("is checked by sed and sha256sum as its specification says", () => {
    using world = setup();
    using journal = world.open();
    world.tell(journal, "é \x1b]52;c;\x07 \u202e \ud83d\ude00");
    const [line = ""] = world.lines();
    const { stdout } = Bun.spawnSync(
      [
        "bash",
        "-c",
        `head -n 1 "$1" | tr -d '\\n' | sed 's/,"hash":"[0-9a-f]*"}$//' | sha256sum`,
        "-",
        world.path(),
      ],
      { stdout: "pipe" },
    );
    expect(stdout.toString().slice(0, 64)).toBe(JSON.parse(line).hash);
    expect(line).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
  });

  test("goes on where another left off, and over files", async () => {
    using world = setup({ fileBytes: 1_200 });
    for (let round = 0; round < 6; round++) {
      using journal = world.open();
      for (let index = 0; index < 5; index++) world.tell(journal, `${round}.${index}`);
    }
    expect(world.files().length).toBeGreaterThan(3);
    expect(world.files()[0]).toBe("000000000001.ndjson");
    expect(await world.prove()).toMatchObject({ holds: true, lines: 30, last: 30 });
  });

  test("is written by several at once, line by line", async () => {
    using world = setup({ fileBytes: 3_000 });
    using one = world.open();
    using other = world.open();
    for (let index = 0; index < 20; index++) world.tell(index % 3 === 0 ? one : other, `${index}`);
    const names = world
      .files()
      .flatMap((_, index) => world.lines(index).map((line) => JSON.parse(line).name));
    expect(names).toEqual(Array.from({ length: 20 }, (_, index) => `${index}`));
    expect(await world.prove()).toMatchObject({ holds: true, lines: 20 });
  });

  test("cuts what is too long, with a mark, and keeps to one line whatever a name holds", () => {
    using world = setup();
    using journal = world.open();
    journal.append([
      createDraft(new Date(0), {
        event: "call",
        name: "x".repeat(1_000_000),
        words: Array(100_000).fill("word"),
        "a\nb": "c\r\nd",
      }),
    ]);
    const [line = ""] = world.lines();
    expect(world.lines()).toHaveLength(1);
    expect(line.length).toBeLessThan(64 * 1024);
    const { name, words } = JSON.parse(line);
    expect(name).toEndWith(`…(${1_000_000 - 4_096} more)`);
    expect(words.at(-1)).toMatch(/^…\(\d+ more\)$/);
  });
});

describe("A line that a killed writer has left torn", () => {
  test("is said by the next, and the chain holds around it", async () => {
    using world = setup();
    {
      using journal = world.open();
      world.tell(journal, "one", "two", "three");
    }
    truncateSync(world.path(), statSync(world.path()).size - 40);
    expect(await world.prove()).toMatchObject({ holds: false, fault: { kind: "cut", number: 3 } });
    using journal = world.open();
    world.tell(journal, "four");
    const said = world.lines();
    expect(JSON.parse(said[3] ?? "")).toMatchObject({ n: 3, event: "audit_torn", bytes: said[2]?.length });
    expect(await world.prove()).toMatchObject({ holds: true, lines: 4, torn: 1 });
  });

  test("is not what somebody wrote behind the last line", async () => {
    using world = setup();
    {
      using journal = world.open();
      world.tell(journal, "one");
    }
    appendFileSync(world.path(), '{"n":2,"event":"call"}\n');
    using _journal = world.open();
    expect(JSON.parse(world.lines()[2] ?? "")).toMatchObject({ n: 2, event: "audit_damaged" });
    expect(await world.prove()).toMatchObject({ holds: false, fault: { kind: "changed", number: 2 } });
  });
});

describe("A proof names the first line that is wrong, and why:", () => {
  const fill = (world: ReturnType<typeof setup>) => {
    using journal = world.open();
    world.tell(journal, "one", "two", "three", "four", "five");
    return { lines: world.lines(), newest: journal.last.hash };
  };

  test("one that was changed", async () => {
    using world = setup();
    const { lines } = fill(world);
    world.rewrite(lines.with(2, lines[2]?.replace("three", "thrEE") ?? ""));
    expect(await world.prove()).toMatchObject({
      holds: false,
      last: 2,
      fault: { kind: "changed", number: 3, at: 3, file: "000000000001.ndjson" },
    });
  });

  test("one that was changed with its hash", async () => {
    using world = setup();
    const { lines } = fill(world);
    const body = lines[2]?.replace("three", "thrEE").replace(/,"hash".*$/, "") ?? "";
    const hash = new Bun.CryptoHasher("sha256").update(body).digest("hex");
    world.rewrite(lines.with(2, `${body},"hash":"${hash}"}`));
    expect(await world.prove()).toMatchObject({ holds: false, fault: { kind: "changed", number: 3 } });
  });

  test("one, or several, that are missing", async () => {
    using world = setup();
    const { lines } = fill(world);
    world.rewrite(lines.toSpliced(1, 1));
    expect(await world.prove()).toMatchObject({
      fault: { kind: "missing", number: 2, why: "line 2 is gone" },
    });
    world.rewrite(lines.toSpliced(0, 2));
    expect(await world.prove()).toMatchObject({ fault: { kind: "missing", number: 1 } });
  });

  test("one that was inserted", async () => {
    using world = setup();
    const { lines } = fill(world);
    world.rewrite(lines.toSpliced(3, 0, lines[1] ?? ""));
    expect(await world.prove()).toMatchObject({ fault: { kind: "inserted", number: 2, at: 4 } });
  });

  test("two in the wrong order", async () => {
    using world = setup();
    const { lines } = fill(world);
    world.rewrite(lines.with(2, lines[3] ?? "").with(3, lines[2] ?? ""));
    expect(await world.prove()).toMatchObject({ fault: { kind: "reordered", number: 4 } });
  });

  test("those that were cut off, if their hash is known", async () => {
    using world = setup();
    const { lines, newest } = fill(world);
    expect(await world.prove(newest)).toMatchObject({ holds: true });
    world.rewrite(lines.slice(0, 4));
    expect(await world.prove()).toMatchObject({ holds: true, last: 4 });
    expect(await world.prove(newest)).toMatchObject({ holds: false, fault: { kind: "cut", number: 5 } });
    using journal = world.open();
    world.tell(journal, "five again");
    expect(await world.prove(newest)).toMatchObject({ holds: false, fault: { kind: "cut" } });
  });
});

test("Lines that are cut off or a file that is removed under a journal show as missing once it writes on", async () => {
  using world = setup();
  using journal = world.open();
  world.tell(journal, "one", "two", "three");
  world.rewrite(world.lines().slice(0, 1));
  world.tell(journal, "four");
  expect(await world.prove()).toMatchObject({ holds: false, fault: { kind: "missing", number: 2 } });
  rmSync(world.path());
  world.tell(journal, "five");
  expect(world.files()).toEqual(["000000000005.ndjson"]);
  expect(await world.prove()).toMatchObject({ holds: false, fault: { kind: "missing", number: 1 } });
});

test("prune() removes what is older than asked, and a line that stays proves the rest", async () => {
  using world = setup({ fileBytes: 1_000 });
  using journal = world.open();
  for (let index = 0; index < 12; index++) {
    world.tell(journal, `${index}`);
    world.pass(3_600_000);
  }
  const before = world.files();
  const kept = await world.prove();
  expect(journal.prune(new Date("2026-11-01T06:00:00Z"))).toBeGreaterThan(0);
  expect(world.files().length).toBeLessThan(before.length);
  const proof = await world.prove(kept.hash);
  expect(proof).toMatchObject({ holds: true, last: 13 });
  expect(proof.pruned).toBeGreaterThan(0);
  // One more file than the line says is a file too many.
  rmSync(world.path());
  expect(await world.prove()).toMatchObject({ holds: false, fault: { kind: "missing" } });
});
