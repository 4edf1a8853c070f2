import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import type { World } from "./world.ts";

/** Starts a detached job that writes each word as a packet of its own, and ends with a code. Resolves with its id once all are written. */
export async function writeApart(world: World, words: readonly string[], code = 0): Promise<string> {
  const wait = "while [ ! -e read-$word ]; do sleep 0.02; done";
  const line = `for word in ${words.join(" ")}; do echo $word; ${wait}; done; exit ${code}`;
  const job = await world.detach("--shell", line);
  for (const word of words) {
    const read = async () => (await world.farhand(["follow", job, "--no-follow"])).stdout;
    await eventually(async () => (await read()).endsWith(`${word}\n`), 30_000);
    writeFileSync(join(world.home, `read-${word}`), "");
  }
  return job;
}
