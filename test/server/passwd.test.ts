import { expect, test } from "bun:test";
import { parsePasswd } from "../../src/server/passwd.ts";

/** Debian 12's, with a comment, a line for NIS and a second name of one number put in. */
const PASSWD = `root:x:0:0:root:/root:/bin/bash
toor:x:0:0:another root:/root:/bin/sh
# a comment
+::::::
ann:x:1000:1000:Ann Lee,,,:/home/ann:/usr/bin/zsh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`;

test("parsePasswd() reads passwd(5) and group(5), the first name of a number counting", () => {
  expect([...parsePasswd(PASSWD)]).toEqual([
    [0, { name: "root", shell: "/bin/bash" }],
    [1000, { name: "ann", shell: "/usr/bin/zsh" }],
    [65_534, { name: "nobody", shell: "/usr/sbin/nologin" }],
  ]);
  expect([...parsePasswd("adm:x:4:syslog,me\n\nbad\n")]).toEqual([[4, { name: "adm", shell: "" }]]);
});
