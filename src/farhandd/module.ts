import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { buildModule } from "../module/build.ts";
import { dieWithParent, volunteer } from "../process/dependence.ts";
import { findSource } from "../server/extensions/sources.ts";
import { toMessage } from "../lib/message.ts";
import { AppError, toErrorBody } from "../protocol/error.ts";
import { ANSWER_FILE, SOURCE_FILE, TRUSTED, type BuildAnswer } from "../module/answer.ts";

/** What the configuration says of packs, which may hold secrets and comes by stdin; null where nobody asks. */
const PackTables = v.nullable(v.record(v.string(), v.unknown()));

/** Builds a module for the process that started us, which finds what comes of it in a directory of its own. */
export async function runBuild([file = "", directory = "", trust]: readonly string[]): Promise<void> {
  const parent = process.ppid;
  volunteer();
  dieWithParent(parent); // a module that loops would go on for ever
  writeFileSync(
    join(directory, ANSWER_FILE),
    JSON.stringify(await answer(file, directory, trust === TRUSTED)),
  );
}

async function answer(file: string, directory: string, isTrusted: boolean): Promise<BuildAnswer> {
  const admit = (inputs: readonly string[]) => {
    if (isTrusted) for (const input of inputs) findSource(input);
  };
  try {
    const packs = v.parse(PackTables, await Bun.stdin.json());
    const { source, description, warnings, inputs } = await buildModule(file, {
      ...(packs !== null && { packs }),
      admit,
    });
    writeFileSync(join(directory, SOURCE_FILE), source);
    return { type: "built", description, warnings: [...warnings], inputs: [...inputs] };
  } catch (error) {
    if (error instanceof AppError) return { type: "failed", error: toErrorBody(error) };
    // Whoever is told is the server's operator, and there is no log here.
    return {
      type: "failed",
      error: { code: "internal", message: `Cannot build "${file}": ${toMessage(error)}` },
    };
  }
}
