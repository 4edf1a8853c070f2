import { expect, test } from "bun:test";
import { toKebab } from "../../src/lib/kebab.ts";

test("toKebab() knows every spelling of a name", () => {
  for (const name of ["deploy-all", "deploy_all", "deployAll", "DeployAll"])
    expect(toKebab(name)).toBe("deploy-all");
  expect(toKebab("os2Info")).toBe("os2-info");
});
