import { expect, setDefaultTimeout } from "bun:test";
import { mkdirSync, readdirSync, readlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FARHAND } from "../support/built.ts";
import { findMountFault, mountOn } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, readProcess, type World } from "../support/world.ts";

setDefaultTimeout(120_000);

const MiB = 1024 ** 2;
const GiB = 1024 * MiB;

/** Milliseconds in which 99 of 100 calls are promised to be answered; ten times that is allowed here. */
const PROMISED = 250;

const linux = testIf(
  process.platform === "linux",
  "names of any bytes, and coreutils to compare with, are Linux's",
);

async function setup() {
  const world = openWorld();
  const { pid } = await world.start();
  /** The lines of a command that must succeed. */
  const lines = async (...args: string[]) => {
    const { code, stdout, stderr } = await world.farhand(args);
    expect([code, stderr]).toEqual([0, ""]);
    return stdout.split("\n").slice(0, -1);
  };
  return { world, pid, lines, at: (...names: string[]) => join(world.home, ...names) };
}

linux("names of any bytes go from ls to stat and rdfile and back", async () => {
  const { world, lines } = await setup();
  await using _ = world;
  const names = [
    "a\xffb",
    "\xc3(",
    "new\nline",
    "-rf",
    " ",
    "end ",
    "con",
    "\x1b]0;x\x07",
    "\u{1f642}",
    // The same to look at, and not to a file system.
    "\u1ea1",
    "a\u0323",
  ];
  for (const [index, name] of names.entries())
    writeFileSync(
      Buffer.concat([Buffer.from(`${world.home}/`), toBytes(name)]),
      `content ${toLetter(index)}`,
    );

  const listed = (await lines("ls", "--json")).map((line): { name: string; nameBytes?: string } =>
    JSON.parse(line),
  );
  expect(listed).toHaveLength(names.length);
  for (const { name, nameBytes } of listed) {
    const path = nameBytes ?? Buffer.from(name).toString("base64");
    const index = names.findIndex((name) => toBytes(name).toString("base64") === path);
    expect((await world.farhand(["rdfile", "--path-bytes", path])).stdout).toBe(`content ${toLetter(index)}`);
    const { files } = JSON.parse((await world.farhand(["stat", "--json", "--path-bytes", path])).stdout);
    expect(files).toMatchObject([{ name, type: "file", size: 9 }]);
    expect(files[0].nameBytes).toBe(nameBytes);
    // A name that is text can also be typed.
    if (nameBytes === undefined)
      expect((await world.farhand(["rdfile", "--", name])).stdout).toBe(`content ${toLetter(index)}`);
  }
  const { stdout } = await world.farhand(["ls", "-l"]);
  expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
  expect(stdout.trimEnd().split("\n")).toHaveLength(names.length);
});

function toLetter(index: number): string {
  return String.fromCharCode(0x61 + index);
}

/** Those above U+00FF are text, the others bytes. */
function toBytes(name: string): Buffer {
  return Buffer.from(name, [...name].some((letter) => letter > "\xff") ? "utf8" : "latin1");
}

linux("each error has the system's code, the path, and a sentence, on stderr and as JSON", async () => {
  const { world, at } = await setup();
  await using _ = world;
  mkdirSync(at("sub"));
  writeFileSync(at("file"), "");
  Bun.spawnSync(["mkfifo", at("fifo")]);
  const cases = [
    [["ls", "gone"], "ENOENT", 'Cannot look at "gone": no such file or directory (ENOENT)'],
    [
      ["stat", "file/x"],
      "ENOTDIR",
      'Cannot look at "file/x": it, or something on the way to it, is no directory (ENOTDIR)',
    ],
    [["find", "gone"], "ENOENT", 'Cannot look at "gone": no such file or directory (ENOENT)'],
    [["df", "gone"], "ENOENT", 'Cannot look at "gone": no such file or directory (ENOENT)'],
    [["rdfile", "gone"], "ENOENT", 'Cannot read "gone": no such file or directory (ENOENT)'],
    [["rdfile", "sub"], "EISDIR", 'Cannot read "sub": it is a directory (EISDIR)'],
    [["rdfile", "fifo"], "ENXIO", 'Cannot read "fifo": it is a FIFO, and only files are read (ENXIO)'],
    [
      ["rdfile", "n".repeat(300)],
      "ENAMETOOLONG",
      `Cannot read "${"n".repeat(300)}": the name is too long (ENAMETOOLONG)`,
    ],
  ] as const;
  for (const [words, os, sentence] of cases) {
    expect(await world.farhand(words)).toMatchObject({
      code: 125,
      stdout: "",
      stderr: `farhand: ${sentence}\n`,
    });
    const { code, stdout } = await world.farhand([...words, "--json"]);
    expect([code, JSON.parse(stdout)]).toEqual([
      125,
      { type: "error", code: "os_error", message: sentence, details: { os, path: words[1] } },
    ]);
  }
});

linux("what ls, stat, find and df say is what the system's own tools say", async () => {
  const { world, lines } = await setup();
  await using _ = world;
  const system = async (line: string) =>
    (await world.shell(`export LC_ALL=C; ${line}`)).stdout.split("\n").slice(0, -1);
  expect(await lines("ls", "/usr")).toEqual(await system("ls /usr"));
  expect((await lines("find", "/etc")).toSorted()).toEqual(
    (await system("find /etc 2>/dev/null")).toSorted(),
  );
  expect((await lines("find", "/usr/share/doc", "--type", "l")).toSorted()).toEqual(
    (await system("find /usr/share/doc -type l")).toSorted(),
  );
  // Directories are typed wherever they are listed from.
  const types = (await lines("ls", "--json", "/usr")).map((line) => JSON.parse(line));
  expect(types.filter(({ type }) => type === "directory").map(({ name }) => name)).toEqual(
    await system("cd /usr && for i in *; do [ -d $i ] && [ ! -L $i ] && echo $i; done"),
  );
  const { files } = JSON.parse(
    (await world.farhand(["stat", "--json", "/bin/sh", "/dev/null", "/usr"])).stdout,
  );
  const stats = files.map((file: Record<string, unknown> & { owner: { name: string } }) =>
    [
      file["size"],
      `0${file["mode"]}`.replace(/^0+(?=\d)/, ""),
      file.owner.name,
      file["links"],
      file["inode"],
    ].join(" "),
  );
  expect(stats).toEqual(await system("stat -c '%s %a %U %h %i' /bin/sh /dev/null /usr"));
  const { fileSystems } = JSON.parse((await world.farhand(["df", "--json", "/tmp", "/proc"])).stdout);
  const shown = fileSystems.map(
    ({ size, mount, type }: { size: number; mount: { name: string }; type: string }) =>
      `${size} ${mount.name} ${type}`,
  );
  const expected = await system(
    "df -B1 --output=size,target,fstype /tmp /proc | tail -n +2 | tr -s ' ' | sed 's/^ //'",
  );
  expect(shown).toEqual(expected.map((line) => line.trimEnd()));
});

linux("rdfile gives 200 MB byte for byte, and a piece of it, to a reader at its own pace", async () => {
  const { world, pid, at } = await setup();
  await using _ = world;
  await world.shell(`head -c 200000000 /dev/urandom > ${at("random")}`);
  const { code, stderr } = await world.shell("farhand rdfile random | (sleep 1; cmp - random)");
  expect([code, stderr]).toEqual([0, ""]);
  const piece = await world.shell(
    "farhand rdfile --offset 123456789 --limit 7654321 random | cmp - <(tail -c +123456790 random | head -c 7654321)",
  );
  expect([piece.code, piece.stderr]).toEqual([0, ""]);
  // What nobody reads yet stays in the file.
  expect(readPeak(pid)).toBeLessThan(300 * MiB);
});

linux(
  "a find over 200,000 entries keeps no other call waiting, takes little memory, and finds them all",
  async () => {
    const { world, pid, at } = await setup();
    await using _ = world;
    mkdirSync(at("many"));
    // Memory makes them in seconds, where a busy disk takes a minute.
    using _mount = findMountFault() === undefined ? mountOn(at("many"), 64 * MiB) : undefined;
    for (let number = 0; number < 200_000; number++)
      writeFileSync(at("many", `file-number-${number}.log`), "");
    const pings = startPings(world);
    await eventually(() => pings.times().length > 0);
    const before = pings.times().length;
    const all = await world.shell("farhand find many --type f | wc -l");
    const none = await world.farhand(["find", "many", "--type", "f", "--size", "+1k"]);
    const during = pings.times().slice(before);
    pings.stop();
    expect([all.code, all.stdout.trim()]).toEqual([0, "200000"]);
    expect(none).toMatchObject({ code: 0, stdout: "", stderr: "" });
    // Had they waited for each other, they would have been answered only between the two.
    expect(during.length).toBeGreaterThan(50);
    expect(percentile(during, 0.99)).toBeLessThan(10 * PROMISED);
    expect(readPeak(pid)).toBeLessThan(400 * MiB);
  },
);

linux(
  "a cancelled rdfile of far more than 1 GB stops at once, and keeps no other call waiting meanwhile",
  async () => {
    const { world, pid, at } = await setup();
    await using _ = world;
    writeFileSync(at("huge"), "");
    truncateSync(at("huge"), 64 * GiB);
    const pings = startPings(world);
    await eventually(() => pings.times().length > 0);
    const before = pings.times().length;
    // More than a client could take in the time that this test has.
    const reading = world.open(["bash", "-c", `exec ${FARHAND} rdfile huge > /dev/null`]);
    await eventually(() => countOpen(pid, at("huge")) === 1);
    await eventually(() => pings.times().length > before + 50, 60_000);
    const during = pings.times().slice(before);
    reading.kill("SIGINT");
    expect(await reading.ran).toMatchObject({ code: 130 });
    await eventually(() => countOpen(pid, at("huge")) === 0);
    pings.stop();
    expect(percentile(during, 0.99)).toBeLessThan(10 * PROMISED);

    // A reader that has enough ends it as well, and without a word.
    const { stdout, stderr } = await world.shell("farhand rdfile huge | head -c 1000 | wc -c");
    expect([stdout.trim(), stderr]).toEqual(["1000", ""]);
    await eventually(() => countOpen(pid, at("huge")) === 0);
  },
);

/** Calls one after the other from a client of their own. */
function startPings(world: World) {
  const running = world.open([FARHAND, "ping", "-c", "100000", "-i", "10ms"]);
  return {
    /** Milliseconds that each took that was answered by now. */
    times: () => [...running.said().matchAll(/([\d.]+) ms/g)].map(([, ms]) => Number(ms)),
    stop: () => running.kill("SIGKILL"),
  };
}

function percentile(times: readonly number[], share: number): number {
  return times.toSorted((a, b) => a - b)[Math.floor((times.length - 1) * share)] ?? Number.NaN;
}

/** Bytes of memory that a process has had at most. */
function readPeak(pid: number): number {
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readProcess(pid, "status")) ?? [];
  return Number(kilobytes) * 1024;
}

/** How many of a process's descriptors are this file. */
function countOpen(pid: number, path: string): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => readFd(pid, fd) === path).length;
}

function readFd(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return ""; // closed meanwhile
  }
}
