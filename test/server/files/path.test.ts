import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { posixPaths, toParent, windowsPaths } from "../../../src/server/files/path.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");

describe("POSIX paths", () => {
  test("count from the directory unless they begin at the root, and keep every byte", () => {
    const resolve = (directory: string, path: string) => posixPaths.resolve(bytes(directory), bytes(path));
    expect(resolve("/srv", "a\xff\nb")).toEqual(bytes("/srv/a\xff\nb"));
    expect(resolve("/", "a")).toEqual(bytes("/a"));
    expect(resolve("/srv", "/etc/hosts")).toEqual(bytes("/etc/hosts"));
    expect(resolve("/srv", "-rf")).toEqual(bytes("/srv/-rf"));
  });

  test("leave .. to the system, for which a name before it may be a link", () => {
    expect(posixPaths.resolve(bytes("/srv"), bytes("link/../x"))).toEqual(bytes("/srv/link/../x"));
  });

  test("are split at their slashes, and put together again", () => {
    const name = fc.uint8Array({ minLength: 1, maxLength: 12 }).filter((name) => !name.includes(0x2f));
    fc.assert(
      fc.property(fc.array(name, { maxLength: 6 }), fc.boolean(), (names, isAbsolute) => {
        const root = bytes(isAbsolute ? "/" : "");
        const path = names.reduce<Buffer>((path, name) => posixPaths.join(path, name), root);
        const split = posixPaths.split(path);
        expect(split.root).toEqual(root);
        expect(split.names).toEqual(names.map((name) => Buffer.from(name)));
      }),
    );
    expect(posixPaths.split(bytes("//a//b/")).names.map(String)).toEqual(["a", "b"]);
  });

  test("toParent() answers the root of a root", () => {
    expect(["/a/b/", "/a", "/"].map((path) => String(toParent(bytes(path), posixPaths)))).toEqual([
      "/a",
      "/",
      "/",
    ]);
  });
});

describe("Windows paths", () => {
  const resolve = (directory: string, path: string) =>
    windowsPaths.resolve(Buffer.from(directory), Buffer.from(path)).toString();

  test("know drives, shares, and slashes both ways", () => {
    expect(resolve("C:\\srv", "a/b")).toBe("C:\\srv\\a\\b");
    expect(resolve("C:\\srv", "D:\\x")).toBe("D:\\x");
    expect(resolve("C:\\srv", "\\x")).toBe("C:\\x");
    expect(resolve("\\\\server\\share\\a", "b")).toBe("\\\\server\\share\\a\\b");
    expect(resolve("C:\\srv", "grün")).toBe("C:\\srv\\grün");
  });

  test("are split after their drive or share", () => {
    const split = (path: string) => {
      const { root, names } = windowsPaths.split(Buffer.from(path));
      return [root.toString(), ...names.map(String)];
    };
    expect(split("C:\\a/b\\")).toEqual(["C:\\", "a", "b"]);
    expect(split("\\\\server\\share\\a")).toEqual(["\\\\server\\share\\", "a"]);
    expect(split("a\\b")).toEqual(["", "a", "b"]);
  });

  test("are joined by one backslash, and not after a drive without one", () => {
    const join = (directory: string, name: string) =>
      windowsPaths.join(Buffer.from(directory), Buffer.from(name)).toString();
    expect([join("C:\\a", "b"), join("C:\\", "b"), join("C:", "b"), join("", "b"), join("a/", "b")]).toEqual([
      "C:\\a\\b",
      "C:\\b",
      "C:b",
      "b",
      "a/b",
    ]);
  });
});
