import { expect } from "bun:test";
import { openOwners } from "../../../src/server/files/owners.ts";
import { testIf } from "../../support/test-if.ts";

testIf(process.platform === "linux", "these files are Linux's")(
  "owners are called as the machine calls them",
  async () => {
    const names = await openOwners().names();
    expect([names.findUser(0), names.findGroup(0), names.findUser(3_999_999_999)]).toEqual([
      "root",
      "root",
      undefined,
    ]);
  },
);
