import { join } from "node:path";
import { isatty } from "node:tty";
import { BUILD, VERSION } from "../lib/version.ts";
import { nameProcess } from "../process/name.ts";
import { readConfig, type ServerConfig } from "../server/config.ts";
import { serve } from "../server/serve.ts";
import { type Flags, toConfigFlags } from "../server/flags.ts";
import { openLog, surviveErrors } from "./log.ts";
import { TRUSTED } from "../module/answer.ts";
import { JOB_RUNNER, OWN_RUNNER, toSelf } from "./self.ts";
import { ENDING, stopSignal } from "./signals.ts";

/** `farhandd serve`, and what `start` leaves in the background. */
export async function runServer(flags: Flags, config: ServerConfig): Promise<void> {
  nameProcess("farhandd");
  // A terminal that hangs up ends what was started on it. Elsewhere, as servers have it, it asks to read everything anew.
  const isOnTerminal = [0, 1, 2].some((fd) => isatty(fd));
  const signal = stopSignal(0, isOnTerminal ? ENDING : ["SIGINT", "SIGTERM"]);
  let onHangUp = () => {}; // until there is a server, which reads everything anyway
  if (!isOnTerminal) process.on("SIGHUP", () => onHangUp());
  let isEchoing = true;
  await serve(
    {
      config,
      version: VERSION,
      build: BUILD,
      env: process.env,
      toKeeperCommand: (state, id) =>
        toSelf(
          "keeper",
          "--state",
          state,
          "--id",
          id,
          "--log-level",
          config.logLevel,
          "--log-format",
          config.logFormat,
        ),
      toRunnerCommand: (login) => toSelf("runner", login ? JSON.stringify(login.credentials) : OWN_RUNNER),
      toBuildCommand: (file, directory) => toSelf("build-module", file, directory, TRUSTED),
      jobRunner: toSelf("runner", JOB_RUNNER),
      openLog: (state) => {
        const log = openLog(join(state, "logs", "server.log"), config, () => isEchoing);
        surviveErrors(log);
        return log;
      },
      readConfig: () => readConfig(toConfigFlags(flags), process.env),
      onListening: (reload) => {
        isEchoing = !flags["background"];
        onHangUp = () => void reload(); // which logs what fails
      },
    },
    signal,
  );
}
