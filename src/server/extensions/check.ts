import { resolve } from "node:path";
import { findHiding } from "../../commands/client-verbs.ts";
import { escapeControls } from "../../lib/escape.ts";
import type { ModuleDescription } from "../../module/description.ts";
import { describePlace, findProblems, type Problem } from "../../module/problem.ts";
import { findLine } from "../../module/places.ts";
import { AppError } from "../../protocol/error.ts";
import type { Builder } from "./builder.ts";
import { findNameFault } from "./settings.ts";
import { isDeclarations } from "./sources.ts";

/** What came of looking at one module, as it was named. */
export type Checked =
  | {
      readonly file: string;
      readonly ok: true;
      readonly description: ModuleDescription;
      readonly warnings: readonly string[];
    }
  /** It is none: nothing in it is run. */
  | { readonly file: string; readonly ok: true; readonly isDeclarations: true }
  | { readonly file: string; readonly ok: false; readonly problems: readonly Problem[] };

/** Bundles a module, runs it once as a server does, and says what it defines, or all that is wrong with it. */
export async function checkModule(
  file: string,
  builder: Pick<Builder, "build">,
  signal: AbortSignal,
): Promise<Checked> {
  if (isDeclarations(file)) return { file, ok: true, isDeclarations: true };
  try {
    const { description, warnings } = await builder.build(file, signal);
    const problems = description.commands.flatMap(({ name }) => findTaken(file, name));
    if (problems.length > 0) return { file, ok: false, problems };
    return { file, ok: true, description, warnings: [...warnings, ...listHidden(description)] };
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_module") throw error;
    return { file, ok: false, problems: findProblems(error) };
  }
}

function findTaken(file: string, name: string): readonly Problem[] {
  const fault = findNameFault(name);
  if (fault === undefined) return [];
  const place = findLine(resolve(file), new RegExp(`(["'\`])${RegExp.escape(name)}\\1`));
  return [{ message: `command "${name}": ${fault}`, file: resolve(file), ...place }];
}

function listHidden({ commands }: ModuleDescription): readonly string[] {
  return commands.flatMap(({ name }) => {
    const why = findHiding(name);
    return why === undefined ? [] : `command "${name}": ${why}`;
  });
}

/** The same for people: a line for each thing, as compilers write them, with the source below. */
export function describeChecked(checked: Checked): string {
  const { file } = checked;
  if ("isDeclarations" in checked) return `${file}: passed over: declarations are no module`;
  if (checked.ok) {
    const warnings = checked.warnings.map((warning) => `${file}: warning: ${warning}`);
    return [`${file}: ok: ${summarize(checked.description)}`, ...warnings].join("\n");
  }
  return checked.problems.map((problem) => describeProblem(file, problem)).join("\n");
}

function describeProblem(file: string, problem: Problem): string {
  const { message, text = "", column = 1 } = problem;
  const head = escapeControls(`${describePlace(file, problem)}: ${message}`);
  const line = text.replaceAll("\t", " ").trimEnd();
  if (line === "") return head;
  const indent = line.length - line.trimStart().length;
  const before = escapeControls(line.slice(indent, Math.max(indent, column - 1)));
  return [head, `    ${escapeControls(line.trim())}`, `    ${" ".repeat(before.length)}^`].join("\n");
}

function summarize({ pack, commands, task }: ModuleDescription): string {
  if (task !== undefined) return "a task";
  const names = commands.map(({ name, kind }) => `${name} (${kind})`).join(", ");
  return pack === undefined ? names : `pack ${pack.name}: ${names}`;
}
