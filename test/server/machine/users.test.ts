import { expect, test } from "bun:test";
import { parseUsers, readAccount } from "../../../src/server/machine/users.ts";

const PASSWD = `root:x:0:0:root:/root:/bin/bash
toor:x:0:0::/root:/bin/sh
# a comment
+::::::
ann:x:1000:1000:Ann Lee,,,:/home/ann:/usr/bin/zsh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`;

test("parseUsers() reads a passwd(5), the first of a number counting", () => {
  const users = parseUsers(PASSWD);
  expect(users.get(0)).toEqual({ name: "root", shell: "/bin/bash" });
  expect(users.get(1000)).toEqual({ name: "ann", shell: "/usr/bin/zsh" });
  expect(users.size).toBe(3);
});

test("readAccount() names the user of this process, whatever the environment says", async () => {
  const { name, uid } = await readAccount(new AbortController().signal);
  const id = Bun.spawnSync(["id", "-un"], { env: { PATH: process.env["PATH"] ?? "", USER: "somebody" } });
  expect([name, uid]).toEqual([id.stdout.toString().trim(), process.geteuid?.()]);
});
