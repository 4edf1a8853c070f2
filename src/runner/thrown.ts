import * as v from "valibot";
import { isPlain } from "../protocol/cbor/plain.ts";
import { AppError, ErrorBody } from "../protocol/error.ts";

/** Characters of a message, of a class's name, and of the stack that are told; lines of it; and bytes of details. */
const MAX_MESSAGE = 4_000;
const MAX_NAME = 100;
const MAX_STACK = 4_000;
const MAX_STACK_LINES = 10;
const MAX_DETAILS_BYTES = 16 * 1024;

/**
 * What a module threw, whatever that is, as its caller is told: an `AppError` with its code and details, anything else as `threw`,
 * with where it comes from. Never throws.
 */
export function toThrown(thrown: unknown): ErrorBody {
  const isError = attempt(() => thrown instanceof Error) === true;
  const message = cut(
    findText(() => (isError ? read(thrown, "message") : String(thrown))),
    MAX_MESSAGE,
  );
  if (isAppError(thrown)) {
    const details = attempt(() => toPlain(read(thrown, "details")));
    const own = { code: read(thrown, "code"), message, ...(details !== undefined && { details }) };
    const parsed = v.safeParse(ErrorBody, own);
    if (parsed.success) return parsed.output;
  }
  const name = cut(
    findText(() => (isError ? read(thrown, "name") : "")),
    MAX_NAME,
  );
  const stack = findStack(thrown);
  return {
    code: "threw",
    message: message || "The module threw something that says nothing of itself",
    ...(name && { name }),
    ...(stack && { details: { stack } }),
  };
}

/** Whether it has a code of its own. Never throws. */
export function isAppError(thrown: unknown): thrown is AppError {
  return attempt(() => thrown instanceof AppError) === true;
}

/** The same as people read it, with as much of its stack as is the module's. Never throws. */
export function describeThrown(thrown: unknown): string {
  const { code, message, name } = toThrown(thrown);
  const stack = findLines(thrown, 16 * MAX_STACK).join("\n");
  return stack.includes(message) ? stack : `${name ?? code}: ${message}\n${stack}`.trimEnd();
}

/** The first lines of the stack, without the message, which Bun's begins with. */
function findStack(thrown: unknown): string {
  const isPlace = (line: string) => /^\s*at /.test(line);
  return findLines(thrown, MAX_STACK).filter(isPlace).slice(0, MAX_STACK_LINES).join("\n");
}

/** The lines of its stack, up to where our own code called the module. */
function findLines(thrown: unknown, length: number): readonly string[] {
  const stack = findText(() => read(thrown, "stack"));
  const lines = cut(stack, length).split("\n");
  const caller = lines.findIndex((line) => /\(src\/runner\/[\w-]+\.ts:\d+:\d+\)$/.test(line));
  if (caller < 0) return lines;
  return lines.slice(0, lines[caller - 1]?.endsWith("at next (unknown)") ? caller - 1 : caller);
}

/** A property of anything at all. */
function read(thrown: unknown, name: string): unknown {
  return typeof thrown === "object" && thrown !== null ? Reflect.get(thrown, name) : undefined;
}

/** What is no JSON, too much or too deep, is left out. */
function toPlain(details: unknown): unknown {
  const json = JSON.stringify(details);
  if (json === undefined || Buffer.byteLength(json) > MAX_DETAILS_BYTES) return undefined;
  const plain: unknown = JSON.parse(json);
  return isPlain({ details: plain }) ? plain : undefined;
}

function findText(find: () => unknown): string {
  const found = attempt(find);
  return typeof found === "string" ? found : "";
}

/** Whatever is thrown may throw when it is looked at. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
