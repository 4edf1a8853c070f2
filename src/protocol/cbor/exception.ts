import { setProperty } from "./property.ts";

/** The classes of errors that everybody has. Any other arrives as the nearest of them, under its own `name`. */
const CLASSES = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
type ErrorClass = keyof typeof CLASSES | "AggregateError" | "Error";

const TEXTS = ["name", "message", "stack"];
/** What an error has besides the properties that were given to it, and what no loop over those finds. */
const HIDDEN = [...TEXTS, "cause", "errors"];

export function nameError(error: Error): ErrorClass {
  if (error instanceof AggregateError) return "AggregateError";
  const names = Object.keys(CLASSES) as (keyof typeof CLASSES)[]; // the keys of the table
  return names.find((name) => error instanceof CLASSES[name]) ?? "Error";
}

export function isErrorName(name: string): name is ErrorClass {
  return Object.hasOwn(CLASSES, name) || name === "AggregateError" || name === "Error";
}

/** What there is to say of an error: its texts, its cause and errors if it has them, and what was given to it. */
export function* fieldsOf(error: Error): Generator<readonly [string, unknown], void, void> {
  if (error.name !== nameError(error)) yield ["name", String(error.name)];
  yield ["message", String(error.message)];
  if (typeof error.stack === "string") yield ["stack", error.stack];
  if (Object.hasOwn(error, "cause")) yield ["cause", error.cause];
  if (error instanceof AggregateError && Array.isArray(error.errors)) yield ["errors", error.errors];
  for (const [key, value] of Object.entries(error)) if (!HIDDEN.includes(key)) yield [key, value];
}

/** An error without a message, a cause or a stack yet. */
export function createError(name: ErrorClass): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0; // where it is read says nothing of it, and takes ten times as long to find out
  const error = construct(name);
  Error.stackTraceLimit = limit;
  return error;
}

function construct(name: ErrorClass): Error {
  switch (name) {
    case "Error":
      return new Error();
    case "AggregateError":
      return new AggregateError([]);
    default:
      return new CLASSES[name]();
  }
}

/** Gives it one of its fields. Throws what `refuse` makes of a text or list that is none. */
export function setErrorField(
  error: Error,
  [key, value]: readonly [string, unknown],
  refuse: (what: string) => Error,
): void {
  if (TEXTS.includes(key) && typeof value !== "string") throw refuse(`has an error whose ${key} is no text`);
  if (key === "errors" && !Array.isArray(value)) throw refuse("has an error whose errors are no list");
  if (!HIDDEN.includes(key)) return setProperty(error, key, value);
  Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable: false });
}
