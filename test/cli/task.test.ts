import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDirectory } from "../support/directory.ts";
import { run } from "../support/cli.ts";
import { openFakeServer } from "../support/fake-server.ts";

const EXECUTION = "01990000-0000-7000-8000-000000000001";

/** A server of this minor version of the protocol that answers task-exec, if it knows tasks. */
function serve(minor: number, knows: boolean) {
  return openFakeServer({
    answer(frame, peer) {
      if (frame.type === "hello") peer.welcome({ version: { major: 1, minor } });
      if (frame.type !== "call") return;
      const { call, command, events } = frame;
      const error = { code: "unknown_command", message: `Cannot call "${command}"` } as const;
      const report = {
        execution: EXECUTION,
        state: "finished",
        responded: true,
        restarts: 0,
        restored: false,
      };
      const value = { ...report, value: { encoding: "json", value: "fine" }, ofAnotherVersion: true };
      if (knows) peer.say({ type: "result", call, result: { encoding: "json", value } });
      else peer.say({ type: "failed", call, error });
      if (events !== undefined && minor > 1) peer.end(events.channel);
    },
  });
}

test("farhand task says of a server that knows no tasks that it is too old, whatever is asked", async () => {
  using directory = openDirectory();
  const module = join(directory.path, "one.ts");
  writeFileSync(module, "export default { exec() {} };");
  for (const minor of [1, 2, 3]) {
    await using server = serve(minor, false);
    for (const words of [
      ["start", "one", module],
      ["exec", "one", JSON.stringify("x".repeat(100_000))],
      ["await", "one", EXECUTION],
      ["stop", "one"],
      ["restart", "one"],
      ["list"],
      ["show", "one"],
      ["follow", "one"],
    ]) {
      const { code, stderr } = await run(["task", ...words], { server });
      expect([code, stderr]).toEqual([
        125,
        "farhand: Cannot use tasks: this server is too old to know them; upgrade it\n",
      ]);
    }
  }
});

test("farhand task exec works with a server of a later minor version, and heeds nothing that it does not know", async () => {
  await using server = serve(99, true);
  expect(await run(["task", "exec", "one", "--await"], { server })).toEqual({
    code: 0,
    stdout: "fine\n",
    stderr: "",
  });
});
