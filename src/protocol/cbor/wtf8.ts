/** The bytes of text with halves of surrogate pairs in it: UTF-8, and three bytes for each half. */
export function encodeWtf8(text: string): Uint8Array {
  const parts: Uint8Array[] = [];
  const encoder = new TextEncoder();
  let start = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0xd800 || code > 0xdfff) continue;
    if ((text.codePointAt(index) ?? 0) > 0xffff) {
      index++;
      continue;
    }
    parts.push(encoder.encode(text.slice(start, index)));
    parts.push(new Uint8Array([0xed, 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)]));
    start = index + 1;
  }
  return Buffer.concat([...parts, encoder.encode(text.slice(start))]);
}

/** The text of such bytes. Throws `TypeError` where the rest is no UTF-8. */
export function decodeWtf8(bytes: Uint8Array): string {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  let start = 0;
  for (let index = bytes.indexOf(0xed); index !== -1; index = bytes.indexOf(0xed, index + 1)) {
    const [, second = 0, third = 0] = bytes.subarray(index, index + 3);
    if (second < 0xa0 || second > 0xbf || third < 0x80 || third > 0xbf) continue;
    text += decoder.decode(bytes.subarray(start, index));
    text += String.fromCharCode(0xd000 | ((second & 0x3f) << 6) | (third & 0x3f));
    start = index + 3;
  }
  return text + decoder.decode(bytes.subarray(start));
}
