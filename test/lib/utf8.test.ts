import { expect, test } from "bun:test";
import fc from "fast-check";
import { FIRST_BYTE, toUnits } from "../../src/lib/utf8.ts";

test("toUnits() answers the code points of a text", () => {
  const code = fc.oneof(
    fc.integer({ min: 0, max: 0x7f }),
    fc.integer({ min: 0x80, max: 0x7ff }),
    fc.integer({ min: 0x800, max: 0xd7ff }),
    fc.integer({ min: 0xe000, max: 0xffff }),
    fc.integer({ min: 0x1_0000, max: 0x10_ffff }),
  );
  fc.assert(
    fc.property(fc.array(code, { maxLength: 50 }), (codes) => {
      expect(toUnits(Buffer.from(String.fromCodePoint(...codes)))).toEqual(codes);
    }),
  );
});

test("toUnits() keeps every byte: the units of any bytes give them back", () => {
  const encode = (unit: number) =>
    unit >= FIRST_BYTE ? [unit - FIRST_BYTE] : [...Buffer.from(String.fromCodePoint(unit))];
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc
      .array(fc.constantFrom(0xc0, 0xc2, 0xe0, 0xed, 0xa0, 0x80, 0xbf, 0xf0, 0xf4, 0x90, 0x41))
      .map((list) => Uint8Array.from(list)),
  );
  fc.assert(
    fc.property(bytes, (bytes) => {
      const units = toUnits(bytes);
      expect(units.flatMap(encode)).toEqual([...bytes]);
      const isText = units.every((unit) => unit < FIRST_BYTE);
      expect(isText).toBe(Buffer.from(Buffer.from(bytes).toString()).equals(bytes));
    }),
    { numRuns: 2_000 },
  );
});
