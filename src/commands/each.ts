import { count } from "../lib/count.ts";
import { AppError } from "../protocol/error.ts";
import { type FilePath, toBytes } from "../protocol/path.ts";
import { isRefusal } from "./refusal.ts";

/** Failures that an error tells, of any number. */
const MAX_TOLD = 20;

export interface Errand<E> {
  /** What is done to each, as in `Cannot remove 2 of 3 paths`. */
  readonly action: string;
  readonly paths: readonly FilePath[];
  readonly signal: AbortSignal;
  readonly act: (path: Uint8Array) => AsyncIterable<E> | Promise<E | undefined>;
}

/**
 * Does something to each path in turn, and yields what was done, if anything. What is refused for one does not keep the others
 * from being done: it is thrown at the end.
 */
export async function* forEach<E>({ action, paths, signal, act }: Errand<E>): AsyncGenerator<E, void, void> {
  const failures: AppError[] = [];
  for (const path of paths) {
    signal.throwIfAborted();
    try {
      const done = act(toBytes(path));
      if (Symbol.asyncIterator in done) yield* done;
      else {
        const event = await done;
        if (event !== undefined) yield event;
      }
    } catch (error) {
      if (!isRefusal(error)) throw error;
      failures.push(error);
    }
  }
  const [first] = failures;
  if (first !== undefined)
    throw failures.length === 1
      ? first
      : toOne(failures, first, `${action} ${failures.length} of ${count(paths.length, "path")}`);
}

/** All of them as one, with the code and the path of the first. */
function toOne(failures: readonly AppError[], first: AppError, what: string): AppError {
  const told = failures.slice(0, MAX_TOLD);
  const more = failures.length > told.length ? `; and ${failures.length - told.length} more` : "";
  const sentences = told.map(({ message }) => message).join("; ");
  return new AppError(first.code, `Cannot ${what}: ${sentences}${more}`, {
    details: { ...first.details, failures: told.map(({ message, details }) => ({ message, ...details })) },
    cause: first,
  });
}
