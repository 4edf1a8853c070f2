import { constants } from "node:os";

/** Linux's real-time signals have no names of their own: they are counted from these, which are glibc's. */
const RTMIN = 34;
const RTMAX = 64;

/** A signal's name on this system: `SIGTERM`, or `SIGRTMIN+3` for one that has none. */
export function toSignalName(number: number): string {
  const known = Object.entries(constants.signals).find(([, known]) => known === number);
  if (known !== undefined) return known[0];
  const offset = number - RTMIN;
  return offset === 0 ? "SIGRTMIN" : `SIGRTMIN${offset > 0 ? "+" : ""}${offset}`;
}

/** The number of `SIGTERM`, `SIGRTMIN+3` or `SIGRTMAX-2`; undefined for an unknown name. */
export function toSignalNumber(name: string): number | undefined {
  const numbers: Readonly<Record<string, number>> = constants.signals;
  if (Object.hasOwn(numbers, name)) return numbers[name];
  const [, base = "", offset = "0"] = /^SIG(RTMIN|RTMAX)([+-]\d{1,2})?$/.exec(name) ?? [];
  if (base === "") return undefined;
  return (base === "RTMIN" ? RTMIN : RTMAX) + Number(offset);
}
