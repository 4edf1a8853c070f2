import { writeSync } from "node:fs";
import * as v from "valibot";
import { findCommand } from "../commands/index.ts";
import { assume, AssumeError } from "../process/assume.ts";
import { Credentials } from "../process/credentials.ts";
import { openLibc } from "../process/libc.ts";
import { nameProcess } from "../process/name.ts";
import { openInput, openOutput } from "../process/pipe.ts";
import { AppError } from "../protocol/error.ts";
import { encodeJson } from "../runner/record.ts";
import { work } from "../runner/work.ts";
import { createRunnerContexts } from "../server/runners/context.ts";

/** Becomes somebody else before anything, and does calls for the front that started it. */
export async function runRunner([text = ""]: readonly string[]): Promise<void> {
  try {
    assume(v.parse(Credentials, JSON.parse(text)));
  } catch (error) {
    const why = error instanceof AssumeError ? error.message : "Cannot become another";
    writeSync(1, encodeJson("failure", { code: "forbidden", message: `${why}: run the server as root` }));
    return;
  }
  process.umask(0o077);
  nameProcess("farhandd");
  const stopped = new AbortController();
  for (const name of ["SIGINT", "SIGHUP"] as const) process.on(name, () => {});
  process.on("SIGTERM", () => stopped.abort(new AppError("cancelled", "The caller cancelled")));
  openLibc().prepareReading(0);
  const [orders, answers] = [openOutput(Bun.file(0).stream()), openInput(1)];
  const peer = { read: () => orders.read(), write: (bytes: Uint8Array) => answers.write(bytes) };
  await work({ peer, findCommand, toContext: createRunnerContexts() }, stopped.signal);
}
