import { types } from "node:util";
import { AppError } from "../error.ts";
import type { TypedArray, TypedName } from "./typed.ts";
import { nameTyped } from "./typed.ts";

export type Primitive = undefined | null | boolean | number | bigint | string;
export type Fields = Readonly<Record<string, unknown>>;

/** What is done with a value, by its kind. */
export interface Visitor<T> {
  primitive(value: Primitive): T;
  array(value: readonly unknown[]): T;
  /** Its own enumerable properties: also of an instance of a class, which arrives as a plain object. */
  object(value: Fields): T;
  map(value: ReadonlyMap<unknown, unknown>): T;
  set(value: ReadonlySet<unknown>): T;
  date(value: Date): T;
  regExp(value: RegExp): T;
  url(value: URL): T;
  error(value: Error): T;
  typed(value: TypedArray, name: TypedName): T;
  buffer(value: ArrayBuffer | SharedArrayBuffer): T;
  view(value: DataView): T;
}

/** Throws `invalid_input` for what is no data: a function, a symbol, a promise, … */
export function visit<T>(value: unknown, visitor: Visitor<T>): T {
  switch (typeof value) {
    case "function":
    case "symbol":
      throw refused(`has a ${typeof value} in it, which is no data`);
    case "object":
      return value === null ? visitor.primitive(value) : visitObject(value, visitor);
    case "undefined":
    case "boolean":
    case "number":
    case "bigint":
    case "string":
      return visitor.primitive(value);
  }
}

function visitObject<T>(value: object, visitor: Visitor<T>): T {
  if (Array.isArray(value)) return visitor.array(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return visitor.object(toFields(value));
  if (types.isMap(value)) return visitor.map(value);
  if (types.isSet(value)) return visitor.set(value);
  if (types.isDate(value)) return visitor.date(value);
  if (types.isRegExp(value)) return visitor.regExp(value);
  if (ArrayBuffer.isView(value)) return visitView(value, visitor);
  if (types.isAnyArrayBuffer(value)) return visitor.buffer(value);
  if (value instanceof Error) return visitor.error(value);
  if (value instanceof URL) return visitor.url(value);
  const tag = Object.prototype.toString.call(value).slice("[object ".length, -1);
  if (tag !== "Object") throw refused(`has a ${tag} in it, which is no data`);
  return visitor.object(toFields(value));
}

function visitView<T>(value: ArrayBufferView, visitor: Visitor<T>): T {
  if (value instanceof DataView) return visitor.view(value);
  const name = nameTyped(value);
  if (name === undefined) throw refused("has an array in it whose type is unknown");
  return visitor.typed(value as TypedArray, name); // its name says so
}

/** Any object can be asked for its keys and for what they hold. */
function toFields(value: object): Fields {
  return value as Fields;
}

/** What cannot be sent, at the end of a sentence. */
export function refused(what: string): AppError {
  return new AppError("invalid_input", `Cannot send a value: it ${what}`);
}
