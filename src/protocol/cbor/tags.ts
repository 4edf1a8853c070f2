/** Tags as IANA has registered them, and what is written with each. */
export const TAG = {
  /** RFC 8949: text as RFC 3339 has it (only read), and seconds since 1970; not a number where a date is none. */
  dateText: 0,
  date: 1,
  /** RFC 8949: bytes of a whole number that is a BigInt, big-endian: n, and -1 - n. */
  bigUnsigned: 2,
  bigNegative: 3,
  /** RFC 8949: how bytes are to be shown. Only read, and of no consequence. */
  hints: [21, 22, 23],
  /** `[name, …]`: what there is no tag for. */
  generic: 27,
  /** The next value is numbered, from 0 in the order in which they begin; and the number of one that was. */
  shared: 28,
  reference: 29,
  url: 32,
  set: 258,
  /** A map that is a `Map`: one without it is an object. */
  map: 259,
  /** Bytes of text with half a surrogate pair in it, which is no UTF-8. */
  wtf8: 273,
  /** `[source, flags]` of ECMA-262. */
  regExp: 21_066,
  /** What begins with it is CBOR. */
  selfDescribed: 55_799,
} as const;

/** The bytes of `TAG.selfDescribed`. No JSON and no UTF-8 begins so. */
export const SELF_DESCRIBED = [0xd9, 0xd9, 0xf7] as const;

/** Names of `TAG.generic` besides the classes of errors. */
export const GENERIC = {
  /** `["Array", [indexes of holes], …elements]`, `undefined` standing in the holes. */
  sparse: "Array",
  /** `["Date", milliseconds]` of one so far away that its seconds would not be exact. */
  farDate: "Date",
  buffer: "ArrayBuffer",
  view: "DataView",
} as const;
