import { isIPv4 } from "node:net";

/**
 * An IP address in the one spelling that it has here, so that two of them are the same address exactly if they are the same text:
 * IPv4 as ever, also where it was mapped into IPv6, and IPv6 as eight groups without leading zeros or a zone. Undefined for
 * what is none.
 */
export function toCanonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  const groups = parseGroups(text.replace(/%.*$/, ""));
  return groups && formatGroups(groups);
}

/** The same of the eight groups of 16 bits of an IPv6 address. */
export function formatGroups(groups: readonly number[]): string {
  const [, , , , , mark, high = 0, low = 0] = groups;
  const isMapped = mark === 0xffff && groups.slice(0, 5).every((group) => group === 0);
  if (isMapped) return [high >> 8, high & 255, low >> 8, low & 255].join(".");
  return groups.map((group) => group.toString(16)).join(":");
}

function parseGroups(text: string): readonly number[] | undefined {
  const runs = text.split("::").map(parseRun);
  const [before, after] = runs;
  if (before === undefined || runs.length > 2) return undefined;
  if (runs.length === 1) return before.length === 8 ? before : undefined;
  if (after === undefined) return undefined;
  const missing = 8 - before.length - after.length;
  return missing < 1 ? undefined : [...before, ...Array<number>(missing).fill(0), ...after];
}

/** Groups without a gap between them; the last two may be written as an IPv4 address. Undefined for what is no such run. */
function parseRun(text: string): number[] | undefined {
  if (text === "") return [];
  const groups = text.split(":").flatMap((group, index, all) => {
    if (index === all.length - 1 && isIPv4(group)) return fromIPv4(group);
    return /^[0-9a-f]{1,4}$/i.test(group) ? Number.parseInt(group, 16) : Number.NaN;
  });
  return groups.some(Number.isNaN) ? undefined : groups;
}

function fromIPv4(text: string): [number, number] {
  const [a = 0, b = 0, c = 0, d = 0] = text.split(".").map(Number);
  return [a * 256 + b, c * 256 + d];
}
