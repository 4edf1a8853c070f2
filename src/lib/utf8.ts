/** Units from here on are bytes that belong to no character. */
export const FIRST_BYTE = 0x11_0000;

/** The characters of bytes that ought to be UTF-8, as their code points; every byte that belongs to none as `FIRST_BYTE` + byte. */
export function toUnits(bytes: Uint8Array): number[] {
  const units: number[] = [];
  for (let index = 0; index < bytes.length;) {
    const length = measureCharacter(bytes, index);
    units.push(length === 0 ? FIRST_BYTE + (bytes[index] ?? 0) : decodeCharacter(bytes, index, length));
    index += Math.max(1, length);
  }
  return units;
}

/** How many bytes the character has that begins here; 0 for none. */
function measureCharacter(bytes: Uint8Array, index: number): number {
  const lead = bytes[index] ?? 0;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (index + length > bytes.length) return 0;
  for (let next = index + 1; next < index + length; next++)
    if (((bytes[next] ?? 0) & 0xc0) !== 0x80) return 0;
  const code = decodeCharacter(bytes, index, length);
  const isOverlong = (length === 3 && code < 0x800) || (length === 4 && code < 0x1_0000);
  const isSurrogate = code >= 0xd800 && code <= 0xdfff;
  return isOverlong || isSurrogate || code >= FIRST_BYTE ? 0 : length;
}

function decodeCharacter(bytes: Uint8Array, index: number, length: number): number {
  const lead = bytes[index] ?? 0;
  let code = length === 1 ? lead : lead & (0x7f >> length);
  for (let next = index + 1; next < index + length; next++) code = (code << 6) | ((bytes[next] ?? 0) & 0x3f);
  return code;
}
