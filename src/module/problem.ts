import { dirname, join, relative, resolve } from "node:path";
import * as v from "valibot";
import { AppError } from "../protocol/error.ts";

/** Something wrong with a module, and where; lines and columns count from 1, and columns as an editor's. */
export const Problem = v.object({
  message: v.string(),
  /** Absolute. */
  file: v.optional(v.string()),
  line: v.optional(v.number()),
  column: v.optional(v.number()),
  /** The line itself. */
  text: v.optional(v.string()),
  /** Files and directories, absolute, whose change may mend it besides the file's: such as where an import was looked for. */
  mending: v.optional(v.array(v.string())),
});
export type Problem = v.InferOutput<typeof Problem>;

/** More of them nobody reads. */
const MAX_PROBLEMS = 20;

/** The refusal of a module, which tells the first thing that is wrong with it; its details hold all. */
export function toModuleError(file: string, problems: readonly Problem[]): AppError {
  const [first = { message: "nobody knows why" }] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  const place = first.line === undefined ? "" : `${describePlace(file, first)}: `;
  const line = first.text?.trim() ? ` in ${JSON.stringify(first.text.trim().slice(0, 120))}` : "";
  return new AppError("invalid_module", `Cannot use "${file}": ${place}${first.message}${line}${more}`, {
    details: { problems: problems.slice(0, MAX_PROBLEMS) },
  });
}

/** All that is wrong, as `toModuleError` told it. */
export function findProblems({ details }: AppError): readonly Problem[] {
  const parsed = v.safeParse(v.array(Problem), details?.["problems"]);
  return parsed.success ? parsed.output : [];
}

/** `commands/hello.ts:3:14`, where the module was named as `file`: what it imports is named from there too. */
export function describePlace(file: string, { file: found, line, column }: Problem): string {
  const name = found === undefined ? file : join(dirname(file), relative(dirname(resolve(file)), found));
  return [name, line, column].filter((part) => part !== undefined).join(":");
}
