import { join } from "node:path";
import { parseArgs } from "node:util";
import * as v from "valibot";
import { keep } from "../keeper/keeper.ts";
import { openPlace } from "../keeper/place.ts";
import { BUILD } from "../lib/version.ts";
import { openLibc } from "../process/libc.ts";
import { nameProcess } from "../process/name.ts";
import { KeeperId } from "../protocol/id.ts";
import { readConfig } from "../server/config.ts";
import { openLog, surviveErrors } from "./log.ts";
import { toSelf } from "./self.ts";

/** Keeps jobs, for the front that started it and those that come after. */
export async function runKeeper(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      state: { type: "string" },
      id: { type: "string" },
      "log-level": { type: "string" },
      "log-format": { type: "string" },
    },
  });
  process.umask(0o077);
  const { state, logLevel, logFormat } = readConfig(
    {
      listen: [],
      state: values.state,
      config: undefined,
      logLevel: values["log-level"],
      logFormat: values["log-format"],
    },
    {},
  );
  nameProcess("farhandd");
  const place = openPlace(state, v.parse(KeeperId, values.id));
  const log = openLog(join(state, "logs", "keeper.log"), { logLevel, logFormat }, () => false);
  const libc = process.platform === "win32" ? undefined : openLibc();
  // A terminal's or a service manager's signals are for the front; a keeper ends with its last job.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => {});
  surviveErrors(log);
  log.info("keeping", { keeper: place.id, pid: process.pid });
  const launcher = process.platform === "linux" ? toSelf("launch") : undefined;
  await keep({ state, place, build: BUILD, libc, launcher, log }, new AbortController().signal);
  log.info("ended", { keeper: place.id });
}
