import { FIRST_BYTE, toUnits } from "./utf8.ts";

/** What a terminal obeys instead of showing it: controls, and marks that turn the direction of writing. */
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const CONTROLS_BUT_NEWLINE = new RegExp(
  CONTROLS.source.replace("\\x00-\\x1f", "\\x00-\\x09\\x0b-\\x1f"),
  "g",
);

/** Text from elsewhere, such as a name, with its controls made visible: on one line, and harmless on a terminal. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, toVisible);
}

/** The same of a text of several lines. */
export function escapeLines(text: string): string {
  return text.replace(CONTROLS_BUT_NEWLINE, toVisible);
}

/** A name of any bytes on one line: what is UTF-8 as text, harmless on a terminal, and every other byte as `\xff`. */
export function escapeBytes(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString();
  // Whatever is no UTF-8 has become this, which may also stand there itself.
  if (!text.includes("\ufffd")) return escapeControls(text);
  return toUnits(bytes)
    .map((unit) => {
      if (unit >= FIRST_BYTE) return toVisibleByte(unit - FIRST_BYTE);
      return escapeControls(String.fromCodePoint(unit));
    })
    .join("");
}

/** JSON on one line, in which controls that JSON itself lets through are written as escapes. */
export function toJsonLine(value: unknown): string {
  return String(JSON.stringify(value)).replace(CONTROLS, toUnicodeEscape);
}

/** The same in several lines, with so many spaces for each level. */
export function toJsonText(value: unknown, space: number): string {
  return String(JSON.stringify(value, undefined, space)).replace(CONTROLS_BUT_NEWLINE, toUnicodeEscape);
}

function toVisible(control: string): string {
  const code = control.charCodeAt(0);
  if (control === "\n") return "\\n";
  if (control === "\t") return "\\t";
  if (control === "\r") return "\\r";
  return code > 0xff ? toUnicodeEscape(control) : toVisibleByte(code);
}

function toVisibleByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

function toUnicodeEscape(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
