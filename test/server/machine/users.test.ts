import { expect, test } from "bun:test";
import { readAccount } from "../../../src/server/machine/users.ts";

test("readAccount() names the user of this process, whatever the environment says", async () => {
  const { name, uid } = await readAccount(new AbortController().signal);
  const id = Bun.spawnSync(["id", "-un"], { env: { PATH: process.env["PATH"] ?? "", USER: "somebody" } });
  expect([name, uid]).toEqual([id.stdout.toString().trim(), process.geteuid?.()]);
});
