import { expect, test } from "bun:test";
import { openOwners, parseNames } from "../../../src/server/files/owners.ts";
import { testIf } from "../../support/test-if.ts";

/** Debian 12's, with a line for NIS and a second name of one number put in. */
const PASSWD = `root:x:0:0:root:/root:/bin/bash
toor:x:0:0:another root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
+::::::
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`;

test("parseNames() reads passwd(5) and group(5), the first name of a number counting", () => {
  expect([...parseNames(PASSWD)]).toEqual([
    [0, "root"],
    [1, "daemon"],
    [65_534, "nobody"],
  ]);
  expect([...parseNames("adm:x:4:syslog,me\n\nbad\n")]).toEqual([[4, "adm"]]);
});

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
