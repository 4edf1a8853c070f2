import { resolve } from "node:path";
import * as v from "valibot";
import { AppError } from "../../protocol/error.ts";
import { TaskName } from "../../protocol/task.ts";

/** A task that the server has from its start. */
export interface InitialTask {
  readonly name: TaskName;
  /** Its module, absolute. */
  readonly file: string;
}

/** Reads `NAME=FILE`. Throws `invalid_config`. */
export function parseInitialTask(text: string): InitialTask {
  const [, name, file] = /^([^=]*)=(.+)$/s.exec(text) ?? [];
  const parsed = v.safeParse(TaskName, name ?? "");
  if (file === undefined) throw refused(text, "write NAME=FILE, such as counter=counter.ts");
  if (!parsed.success) throw refused(text, `"${name}" ${parsed.issues[0].message}`);
  return { name: parsed.output, file: resolve(file) };
}

function refused(text: string, why: string): AppError {
  return new AppError("invalid_config", `Cannot use --task "${text}": ${why}`);
}
