import { expect, test } from "bun:test";
import { toPermissions } from "../../../src/server/files/status.ts";

test("toPermissions() writes a mode as ls(1) does", () => {
  const cases: [number, string][] = [
    [0o644, "rw-r--r--"],
    [0o755, "rwxr-xr-x"],
    [0o4755, "rwsr-xr-x"],
    [0o4644, "rwSr--r--"],
    [0o2711, "rwx--s--x"],
    [0o2600, "rw---S---"],
    [0o1777, "rwxrwxrwt"],
    [0o1000, "--------T"],
  ];
  for (const [mode, text] of cases) expect(toPermissions(mode)).toBe(text);
});
