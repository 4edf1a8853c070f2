import { describe, expect, test } from "bun:test";
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findDirectory, findFault, joinPath } from "../../../src/server/workspaces/directory.ts";
import { openDirectory } from "../../support/directory.ts";
import { testIf } from "../../support/test-if.ts";

const testPosix = testIf(process.platform !== "win32", "Windows writes paths otherwise");

const meant = (directory: string, path: string) =>
  joinPath(Buffer.from(directory), Buffer.from(path)).toString();

describe("joinPath()", () => {
  testPosix.each<[string, string, string]>([
    ["/srv/app", ".", "/srv/app"],
    ["/srv/app", "", "/srv/app"],
    ["/srv/app", "src", "/srv/app/src"],
    ["/srv/app", "./src//lib/", "/srv/app/src/lib"],
    ["/srv/app", "..", "/srv"],
    ["/srv/app", "../../..", "/"],
    ["/srv/app", "../other", "/srv/other"],
    ["/srv/app", "/etc", "/etc"],
    ["/srv/app", "/", "/"],
    ["/srv/app", "/../etc", "/etc"],
    ["/", "etc", "/etc"],
    // What follows a name may follow a link.
    ["/srv/app", "link/..", "/srv/app/link/.."],
    ["/srv/app", "/a/../b", "/a/../b"],
    ["/srv/app", "../...", "/srv/..."],
  ])("in %j, %j is %j", (directory, path, expected) => {
    expect(meant(directory, path)).toBe(expected);
  });

  testPosix("keeps bytes that are no UTF-8", () => {
    const name = Buffer.from([0x61, 0xff, 0x0a]);
    expect(joinPath(Buffer.from("/srv"), name)).toEqual(Buffer.concat([Buffer.from("/srv/"), name]));
  });
});

describe("findDirectory()", () => {
  testPosix("follows links before it goes up, and answers what has none", async () => {
    using directory = openDirectory();
    const root = realpathSync(directory.path);
    mkdirSync(join(root, "a/b"), { recursive: true });
    symlinkSync(join(root, "a/b"), join(root, "link"));
    expect((await findDirectory(Buffer.from(`${root}/link`))).toString()).toBe(join(root, "a/b"));
    expect((await findDirectory(Buffer.from(`${root}/link/..`))).toString()).toBe(join(root, "a"));
  });

  testPosix("refuses with the system's code what cannot be entered", async () => {
    using directory = openDirectory();
    const root = directory.path;
    writeFileSync(join(root, "file"), "");
    symlinkSync("loop", join(root, "loop"));
    const code = (path: string) =>
      findDirectory(Buffer.from(join(root, path))).then(
        () => undefined,
        (error: { code: string }) => error.code,
      );
    expect(await code("none")).toBe("ENOENT");
    expect(await code("file")).toBe("ENOTDIR");
    expect(await code("file/x")).toBe("ENOTDIR");
    expect(await code("loop")).toBe("ELOOP");
    expect(await code("x".repeat(300))).toBe("ENAMETOOLONG");
  });
});

test("findFault() tells why a directory is of no use, and nothing of one that is", async () => {
  using directory = openDirectory();
  expect(await findFault(Buffer.from(directory.path))).toBeUndefined();
  expect(await findFault(Buffer.from(join(directory.path, "none")))).toBe("ENOENT");
});
