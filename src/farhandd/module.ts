import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { buildModule } from "../module/build.ts";
import { dieWithParent, volunteer } from "../process/dependence.ts";
import { findSource } from "../server/extensions/sources.ts";
import { toMessage } from "../lib/message.ts";
import { AppError, toErrorBody } from "../protocol/error.ts";
import { ANSWER_FILE, type BuildAnswer, BuildOrder, SOURCE_FILE, TRUSTED } from "../module/answer.ts";

interface Order extends Pick<BuildOrder, "packs"> {
  readonly file: string;
  readonly directory: string;
}

/** Builds a module for the process that started us, which finds what comes of it in a directory of its own. */
export async function runBuild([file = "", directory = "", trust]: readonly string[]): Promise<void> {
  const { parent, packs } = v.parse(BuildOrder, await Bun.stdin.json());
  volunteer();
  dieWithParent(parent); // a module that loops would go on for ever
  writeFileSync(
    join(directory, ANSWER_FILE),
    JSON.stringify(await answer({ file, directory, packs }, trust === TRUSTED)),
  );
}

async function answer({ file, directory, packs }: Order, isTrusted: boolean): Promise<BuildAnswer> {
  const admit = (inputs: readonly string[]) => {
    if (isTrusted) for (const input of inputs) findSource(input);
  };
  try {
    const { source, description, warnings, inputs } = await buildModule(file, {
      ...(packs && { packs }),
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
