import fc from "fast-check";

/** A value that is no reference: also what JSON has not. */
const anyPrimitive: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    undefined,
    null,
    true,
    false,
    -0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.float(),
  fc.bigInt(),
  fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }),
  fc.string({ unit: "binary", maxLength: 20 }),
  // Any code units, so that halves of surrogate pairs are among them.
  fc
    .array(fc.oneof(fc.integer({ min: 0xd7f0, max: 0xe00f }), fc.nat(0xffff)), { maxLength: 6 })
    .map((units) => String.fromCharCode(...units)),
);

const anyKey = fc.oneof(
  fc.string({ maxLength: 6 }),
  fc.constantFrom("__proto__", "constructor", "toString", "$date", "\ud800", "0", "length"),
);
const anyBytes = fc.uint8Array({ maxLength: 48 });
const anyDate = fc.oneof(
  fc.date(),
  fc.date({ noInvalidDate: false }),
  fc.integer({ min: -8.64e15, max: 8.64e15 }).map((ms) => new Date(ms)),
);
const anyUrl = fc.webUrl().map((url) => new URL(url));
const anyRegExp = fc
  .constantFrom(/(?:)/, /a+/gi, /(?<x>[/]b)\//dgimsuy, /\u{1f600}/u, /[[a-z]--b]/v, /水\n/)
  .map((one) => new RegExp(one));

const TYPED = [
  Uint8Array,
  Uint8ClampedArray,
  Uint16Array,
  Uint32Array,
  BigUint64Array,
  Int8Array,
  Int16Array,
  Int32Array,
  BigInt64Array,
  Float16Array,
  Float32Array,
  Float64Array,
  DataView,
  ArrayBuffer,
] as const;

const anyBinary = fc.tuple(fc.constantFrom(...TYPED), anyBytes).map(([Class, bytes]) => {
  const size = "BYTES_PER_ELEMENT" in Class ? Class.BYTES_PER_ELEMENT : 1;
  // One that is a view of a larger buffer, as what comes from elsewhere is.
  const buffer = new Uint8Array([...bytes, ...new Uint8Array(size)]).buffer;
  const length = Math.floor(bytes.length / size);
  return Class === ArrayBuffer ? buffer : Reflect.construct(Class, [buffer, 0, length]);
});

const ERRORS = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError] as const;

/** What a node of a value holds: something of its own, or another node by its number. */
type Slot = { readonly own: unknown } | { readonly node: number };
type Container = (slots: readonly unknown[], keys: readonly string[]) => void;

/** One reference, and how it is filled once all of them are there. */
type Made = readonly [value: object, fill: Container];

const anyMade: fc.Arbitrary<() => Made> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constant((): Made => {
      const value: unknown[] = [];
      return [value, (slots) => void value.push(...slots)];
    }),
  },
  {
    weight: 1,
    arbitrary: fc.nat(4).map((hole) => (): Made => {
      const value: unknown[] = [];
      return [
        value,
        (slots) => {
          value.push(...slots);
          delete value[hole];
        },
      ];
    }),
  },
  {
    weight: 4,
    arbitrary: fc.constant((): Made => {
      const value = {};
      return [
        value,
        (slots, keys) =>
          slots.forEach((slot, index) =>
            Object.defineProperty(value, keys[index] ?? "", {
              value: slot,
              writable: true,
              configurable: true,
              enumerable: true,
            }),
          ),
      ];
    }),
  },
  {
    weight: 2,
    arbitrary: fc.constant((): Made => {
      const value = new Map<unknown, unknown>();
      return [value, (slots) => slots.forEach((slot, index) => value.set(slot, slots[index + 1]))];
    }),
  },
  {
    weight: 2,
    arbitrary: fc.constant((): Made => {
      const value = new Set<unknown>();
      return [value, (slots) => slots.forEach((slot) => value.add(slot))];
    }),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...ERRORS), fc.string({ maxLength: 9 }))
      .map(([Class, message]) => (): Made => {
        const value = new Class(message);
        return [
          value,
          ([cause, code, name], [key = "code"]) => {
            if (cause !== undefined)
              Object.defineProperty(value, "cause", { value: cause, configurable: true, writable: true });
            if (code !== undefined && !["name", "message", "stack", "cause", "errors"].includes(key))
              Object.defineProperty(value, key, {
                value: code,
                enumerable: true,
                configurable: true,
                writable: true,
              });
            if (typeof name === "string") value.name = name;
          },
        ];
      }),
  },
  {
    weight: 1,
    arbitrary: fc.constant((): Made => {
      const value = new AggregateError([], "several");
      return [value, (slots) => value.errors.push(...slots)];
    }),
  },
  {
    weight: 3,
    arbitrary: fc
      .oneof<fc.Arbitrary<object>[]>(anyDate, anyUrl, anyRegExp, anyBinary)
      .map((value) => (): Made => [value, () => {}]),
  },
);

const anySlot: fc.Arbitrary<Slot> = fc.oneof(
  fc.record({ own: anyPrimitive }),
  fc.record({ node: fc.nat(11) }),
);

/** Data of every kind there is, with things that are there twice, and things within themselves. */
export const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 1, arbitrary: anyPrimitive },
  {
    weight: 9,
    arbitrary: fc
      .array(
        fc.record({
          make: anyMade,
          slots: fc.array(anySlot, { maxLength: 5 }),
          keys: fc.uniqueArray(anyKey, { minLength: 5, maxLength: 5 }),
        }),
        { minLength: 1, maxLength: 12 },
      )
      .map((nodes) => {
        const made = nodes.map(({ make }) => make());
        const resolve = (slot: Slot) => ("own" in slot ? slot.own : made[slot.node % made.length]?.[0]);
        nodes.forEach(({ slots, keys }, index) => made[index]?.[1](slots.map(resolve), keys));
        return made[0]?.[0];
      }),
  },
);
