import { existsSync } from "node:fs";
import { homedir } from "node:os";
import type { ServerConfig } from "../server/config.ts";
import { findExecutable } from "../process/again.ts";
import { findServer, waitForServer } from "../server/control.ts";
import { readAccount } from "../server/machine/users.ts";
import { changeService } from "../server/service/change.ts";
import type { Flags } from "../server/flags.ts";
import { isCompiled } from "./self.ts";
import { toMessage } from "../lib/message.ts";

/** `farhandd service`: what there is to say, and the exit code. */
export async function runService(
  flags: Flags,
  config: ServerConfig,
  signal: AbortSignal,
): Promise<{ readonly text: string; readonly code: number }> {
  const { name: account, uid = -1 } = await readAccount(signal);
  return await changeService(
    flags,
    {
      executable: isCompiled() ? findExecutable() : undefined,
      state: config.state,
      env: process.env,
      platform: process.platform,
      uid,
      account,
      home: homedir(),
    },
    {
      // The others' managers always run.
      isRunning: process.platform !== "linux" || existsSync("/run/systemd/system"),
      run,
      findServer: async () => (await findServer(config.state, signal))?.status.pid,
      waitForServer: () => waitForServer(config.state, signal),
    },
  );
}

function run(argv: readonly string[]): { code: number; output: string } {
  try {
    const { exitCode, stdout, stderr } = Bun.spawnSync([...argv], { stdin: "ignore" });
    return { code: exitCode, output: `${stdout}${stderr}` };
  } catch (error) {
    return { code: 127, output: toMessage(error) };
  }
}
