import * as v from "valibot";

/** What a terminal would obey, and what hides or forges lines: OSC 52 and 0, CSI, BS, CR, newlines, C1, bidi, line separators. */
export const HOSTILE =
  "\x1b]52;c;cGFzdGU=\x07\x1b]0;title\x07\x1b[2J\x1b[?1049h\x08\x08\r\nforged: line\n\x9b31m\x9d0;x\x9c\u202egnp\u2066\u2028\u200f\x7f\x00";

/** What such text leaves on a terminal if somebody forgets to make it harmless. Tabs and newlines are what tables are made of. */
export const OBEYED = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/** Of valibot's schemas what a value is made by. */
interface Shape {
  readonly type: string;
  readonly entries?: Readonly<Record<string, Shape>>;
  readonly item?: Shape;
  readonly items?: readonly Shape[];
  readonly options?: readonly unknown[];
  readonly wrapped?: Shape;
  readonly value?: unknown;
  readonly literal?: unknown;
}

/** A value that a schema takes, with hostile text wherever it takes any; `number`: what stands for a number. */
export function toHostile(schema: v.GenericSchema, number = 1): unknown {
  return make(schema as unknown as Shape, number); // nothing but the fields of valibot's own objects is read
}

function make(shape: Shape, number: number): unknown {
  switch (shape.type) {
    case "object":
    case "strict_object":
    case "loose_object":
      return Object.fromEntries(
        Object.entries(shape.entries ?? {}).map(([name, field]) => [name, make(field, number)]),
      );
    case "array":
      return shape.item === undefined ? [] : [make(shape.item, number)];
    case "tuple":
      return (shape.items ?? []).map((item) => make(item, number));
    case "optional":
    case "nullable":
    case "nullish":
    case "exact_optional":
      return shape.wrapped === undefined ? undefined : make(shape.wrapped, number);
    case "variant":
    case "union":
      return make(shape.options?.[0] as Shape, number);
    case "picklist":
      return shape.options?.[0];
    case "literal":
      return shape.literal;
    case "string":
      return first(shape, TEXTS);
    case "number":
      return number;
    case "boolean":
      return true;
    case "record":
    case "custom":
      return first(shape, RECORDS);
    default:
      return HOSTILE;
  }
}

/** The first, and thus the most hostile, of what a schema takes. */
function first(shape: Shape, values: readonly unknown[]): unknown {
  return values.find((value) => v.is(shape as unknown as v.GenericSchema, value)) ?? values[0];
}

const RECORDS = [{ [HOSTILE]: HOSTILE }, { x: HOSTILE }, { x: "x" }];
const TEXTS = [
  HOSTILE,
  HOSTILE.slice(0, 64),
  Buffer.from(HOSTILE).toString("base64"),
  "01a22500-213c-7154-95cd-14a7f2900673",
  "2026-01-31T12:00:00.000Z",
  "x",
];
