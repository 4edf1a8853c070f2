import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ErrorCode } from "../../protocol/error.ts";

/** As whom valibot's types are in the same file: a package of that name may be there too. */
const SCHEMAS = "farhand:v";

const APP_ERROR = `
/** An error that a caller is told as it is: code, message and details. What else is thrown he is told as \`threw\`. */
export class AppError extends Error {
  constructor(
    code: ErrorCode,
    message: string,
    options?: { details?: Record<string, unknown>; cause?: unknown; name?: string },
  );
  readonly code: ErrorCode;
  readonly details: Record<string, unknown> | undefined;
}

/** Codes never change meaning. */
export type ErrorCode = ${ErrorCode.options.map((code) => JSON.stringify(code)).join(" | ")};`;

/**
 * The whole of `farhand.d.ts`: what a module finds as `farhand`, with nothing installed. A macro: it reads the sources as
 * Farhand is built.
 */
export function composeTypes(): string {
  const own = [read("../define.ts"), read("../authoring.ts"), toInterface(read("../caller.ts"))];
  const [permission = ""] = /^export type Permission = .*;$/m.exec(read("../../commands/define.ts")) ?? [];
  const body = [...own.map(toDeclarations), permission, APP_ERROR].join("\n");
  const valibot = readFileSync(join(Bun.resolveSync("valibot", import.meta.dir), "../index.d.mts"), "utf8");
  return [
    '// What a module of your own finds as "farhand". Written by farhandd extension init, which also renews it (--force).',
    `declare module "farhand" {\n  import * as v from "${SCHEMAS}";\n  export { v };\n${body}\n}`,
    `declare module "${SCHEMAS}" {\n${toAmbient(valibot)}\n}\n`,
  ].join("\n\n");
}

function read(file: string): string {
  return readFileSync(join(import.meta.dir, file), "utf8");
}

/** What is declared: without imports, re-exports and bodies. */
function toDeclarations(text: string): string {
  return text
    .replaceAll(/^(import|export) [^;]*? from "[^"]+";\n/gm, "")
    .replaceAll(/^(export function [\s\S]*?) \{\n {2}return \w+;\n\}$/gm, "$1;");
}

/** A schema of texts, as the type that is inferred from it. */
function toInterface(text: string): string {
  return text
    .replace(/export const (\w+) = v\.object\(\{\n/, "export interface $1 {\n")
    .replaceAll(/^ {2}(\w+): v\.string\(\),$/gm, "  readonly $1: string;")
    .replace(/^\}\);\nexport type .*$/m, "}");
}

/** Declarations as they may stand in a module that is declared, which is where nothing needs to be. */
function toAmbient(text: string): string {
  return text.replaceAll(/^declare /gm, "").replaceAll(/^\/\/#.*\n/gm, "");
}
