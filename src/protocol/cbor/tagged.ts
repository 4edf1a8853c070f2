import { fieldsOf, nameError } from "./exception.ts";
import { setProperty } from "./property.ts";
import { findRepeated } from "./survey.ts";
import { bytesOf, type TypedArray, type TypedName } from "./typed.ts";
import { type Fields, type Primitive, type Visitor, visit } from "./visit.ts";

/**
 * A value as JSON that says all of it: what JSON has is itself, and anything else an object with one key that begins with `$`.
 * `untag.ts` makes the value of it again. Throws as `encodeCbor` does.
 */
export function toTagged(value: unknown): unknown {
  return new Tagger(findRepeated(value)).item(value);
}

class Tagger implements Visitor<unknown> {
  readonly #repeated: ReadonlySet<object>;
  readonly #numbers = new Map<object, number>();

  constructor(repeated: ReadonlySet<object>) {
    this.#repeated = repeated;
  }

  item(value: unknown): unknown {
    if (typeof value !== "object" || value === null || !this.#repeated.has(value)) return visit(value, this);
    const known = this.#numbers.get(value);
    if (known !== undefined) return { $ref: known };
    const number = this.#numbers.size;
    this.#numbers.set(value, number);
    return { $shared: [number, visit(value, this)] };
  }

  primitive(value: Primitive): unknown {
    switch (typeof value) {
      case "undefined":
        return { $undefined: true };
      case "bigint":
        return { $bigint: String(value) };
      case "number":
        if (Object.is(value, -0)) return { $number: "-0" };
        return Number.isFinite(value) ? value : { $number: String(value) };
      default:
        return value;
    }
  }

  array(value: readonly unknown[]): unknown {
    const isHole = (index: number) => value[index] === undefined && !(index in value);
    return Array.from(value, (item, index) => (isHole(index) ? { $hole: true } : this.item(item)));
  }

  object(value: Fields): unknown {
    const fields = this.#fields(Object.entries(value));
    return isTag(Object.keys(value)) ? { $object: fields } : fields;
  }

  map(value: ReadonlyMap<unknown, unknown>): unknown {
    return { $map: Array.from(value, ([key, item]) => [this.item(key), this.item(item)]) };
  }

  set(value: ReadonlySet<unknown>): unknown {
    return { $set: Array.from(value, (item) => this.item(item)) };
  }

  date(value: Date): unknown {
    return { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() };
  }

  regExp({ source, flags }: RegExp): unknown {
    return { $regexp: [source, flags] };
  }

  url(value: URL): unknown {
    return { $url: value.href };
  }

  error(value: Error): unknown {
    const fields = {};
    for (const [key, item] of fieldsOf(value)) setProperty(fields, key, item);
    // In the order in which whoever parses it finds them: what is shared comes before what refers to it.
    return { $error: [nameError(value), this.#fields(Object.entries(fields))] };
  }

  typed(value: TypedArray, name: TypedName): unknown {
    const base64 = toBase64(bytesOf(value));
    return name === "Uint8Array" ? { $bytes: base64 } : { $typed: [name, base64] };
  }

  buffer(value: ArrayBuffer | SharedArrayBuffer): unknown {
    return { $buffer: toBase64(new Uint8Array(value)) };
  }

  view(value: DataView): unknown {
    return { $view: toBase64(bytesOf(value)) };
  }

  #fields(fields: Iterable<readonly [string, unknown]>): object {
    const object = {};
    for (const [key, value] of fields) setProperty(object, key, this.item(value));
    return object;
  }
}

/** Whether an object with these keys stands for something else. */
export function isTag(keys: readonly string[]): boolean {
  return keys.length === 1 && keys[0]?.startsWith("$") === true;
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}
