import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../../src/protocol/error.ts";
import { openDirectory } from "../../support/directory.ts";
import { toFileContext } from "../../support/reading.ts";
import { testIf } from "../../support/test-if.ts";

async function refusalOf(promise: Promise<unknown>): Promise<AppError> {
  const error = await promise.catch((error: unknown) => error);
  if (!(error instanceof AppError)) throw new Error(`not refused: ${String(error)}`);
  return error;
}

const posix = testIf(
  process.platform !== "win32",
  "Windows has no FIFOs, devices and sockets among its files",
);

posix("open() refuses what might never answer, at once and without touching it", async () => {
  using directory = openDirectory();
  const { files } = toFileContext(directory.path);
  Bun.spawnSync(["mkfifo", join(directory.path, "fifo")]);
  symlinkSync("fifo", join(directory.path, "link"));
  mkdirSync(join(directory.path, "sub"));
  const codes = ["fifo", "link", "sub", "/dev/zero", "/dev/null"].map(async (path) => {
    const { code, details } = await refusalOf(files.open(Buffer.from(path)));
    return [code, details?.["os"]];
  });
  expect(await Promise.all(codes)).toEqual([
    ["os_error", "ENXIO"],
    ["os_error", "ENXIO"],
    ["os_error", "EISDIR"],
    ["os_error", "ENXIO"],
    ["os_error", "ENXIO"],
  ]);
});

test("read() answers fewer bytes where the file ends, and none at its end", async () => {
  using directory = openDirectory();
  writeFileSync(join(directory.path, "a"), "0123456789");
  await using file = await toFileContext(directory.path).files.open(Buffer.from("a"));
  const read = async (position: number) => Buffer.from(await file.read(position, 6)).toString();
  expect([await read(0), await read(6), await read(10), await read(1_000)]).toEqual([
    "012345",
    "6789",
    "",
    "",
  ]);
  truncateSync(join(directory.path, "a"), 3);
  expect([file.status.size, (await file.inspect()).size, await read(2)]).toEqual([10, 3, "2"]);
});

test("a path that is missing only because the workspace's directory is says so", async () => {
  using directory = openDirectory();
  const gone = join(directory.path, "gone");
  const { files } = toFileContext(gone);
  const relative = await refusalOf(files.open(Buffer.from("a")));
  expect(relative.message).toBe(
    `Cannot read "a": the workspace's directory "${gone}" does not exist (ENOENT); choose another with farhand cd`,
  );
  const absolute = await refusalOf(files.open(Buffer.from(join(directory.path, "b"))));
  expect(absolute.message).toEndWith("no such file or directory (ENOENT)");
});

test("what a call asks of files ends with the call, whatever a file system takes to answer", async () => {
  using directory = openDirectory();
  writeFileSync(join(directory.path, "a"), "0123456789");
  const stop = new AbortController();
  const { files } = toFileContext(directory.path, stop.signal);
  const path = Buffer.from("a");
  const asked = [
    files.inspect(path),
    files.open(path),
    Array.fromAsync(files.list(Buffer.from("."), stop.signal)),
  ];
  stop.abort(new Error("enough"));
  for (const { status, ...settled } of await Promise.allSettled<unknown>(asked))
    expect([status, settled]).toEqual(["rejected", { reason: new Error("enough") }]);
});
