import { ptr } from "bun:ffi";
import { openLinuxLibrary } from "../../src/process/libc.ts";

const RENAME_EXCHANGE = 2n;
const AT_FDCWD = -100n;

/** Has two paths change places at once, so that both are always there: renameat2(2), of Linux alone. */
export function openExchange(one: string, other: string): () => void {
  const { symbols } = openLinuxLibrary({
    syscall: { args: ["i64", "i64", "ptr", "i64", "ptr", "i64"], returns: "i64" },
  });
  const number = process.arch === "x64" ? 316n : 276n;
  const [from, to] = [one, other].map((path) => Buffer.from(`${path}\0`));
  if (from === undefined || to === undefined) throw new Error("There is nothing to exchange");
  return () => {
    const done = symbols.syscall(number, AT_FDCWD, ptr(from), AT_FDCWD, ptr(to), RENAME_EXCHANGE);
    if (done !== 0n) throw new Error(`Cannot exchange "${one}" and "${other}"`);
  };
}
