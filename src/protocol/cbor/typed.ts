/** How typed arrays are made, by the name of their class. */
const CLASSES = {
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
};
export type TypedName = keyof typeof CLASSES;
export type TypedArray = InstanceType<(typeof CLASSES)[TypedName]>;

/** RFC 8746, little-endian; the same tag without `LITTLE_ENDIAN` is big-endian. Plain bytes are a `Uint8Array`. */
const TAGS: Readonly<Record<Exclude<TypedName, "Uint8Array">, number>> = {
  Uint8ClampedArray: 68,
  Uint16Array: 69,
  Uint32Array: 70,
  BigUint64Array: 71,
  Int8Array: 72,
  Int16Array: 77,
  Int32Array: 78,
  BigInt64Array: 79,
  Float16Array: 84,
  Float32Array: 85,
  Float64Array: 86,
};
const LITTLE_ENDIAN = 0b100;

/** Which typed array a tag is of, and in which order its bytes are. */
const BY_TAG = new Map<number, { readonly name: TypedName; readonly isBig: boolean }>([
  [64, { name: "Uint8Array", isBig: false }],
  ...Object.entries(TAGS).flatMap(([key, tag]) => {
    const name = key as TypedName; // the keys of the table
    const isByte = tag === TAGS.Uint8ClampedArray || tag === TAGS.Int8Array;
    const little = [tag, { name, isBig: false }] as const;
    return isByte ? [little] : [little, [tag & ~LITTLE_ENDIAN, { name, isBig: true }] as const];
  }),
]);

/** The name of a typed array's class. A `Buffer` is a `Uint8Array`. */
export function nameTyped(value: ArrayBufferView): TypedName | undefined {
  const name = Object.prototype.toString.call(value).slice("[object ".length, -1);
  return isTypedName(name) ? name : undefined;
}

export function isTypedName(name: string): name is TypedName {
  return Object.hasOwn(CLASSES, name);
}

/** The tag of a typed array's bytes; none for those of a `Uint8Array`. */
export function tagOf(name: TypedName): number | undefined {
  return name === "Uint8Array" ? undefined : TAGS[name];
}

export function findTyped(tag: number): { readonly name: TypedName; readonly isBig: boolean } | undefined {
  return BY_TAG.get(tag);
}

/** The bytes of a typed array or `DataView`, not copied. Every machine that this runs on is little-endian. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** A typed array of its own of these bytes. Throws what `refuse` makes of a length that does not fit. */
export function toTyped(
  name: TypedName,
  bytes: Uint8Array,
  refuse: (what: string) => Error,
  isBig = false,
): TypedArray {
  const Class = CLASSES[name];
  const size = Class.BYTES_PER_ELEMENT;
  if (bytes.length % size !== 0) throw refuse(`has a ${name} of ${bytes.length} bytes`);
  const own = new Uint8Array(bytes);
  if (isBig)
    for (let start = 0; start < own.length; start += size) own.subarray(start, start + size).reverse();
  return new Class(own.buffer);
}
