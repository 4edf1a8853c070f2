import * as v from "valibot";
import { AppError, ErrorBody, type ErrorCode, toErrorBody } from "../protocol/error.ts";

/** Errors that a result tells; the others are counted. */
const MAX_TOLD = 20;

const TOLD: readonly ErrorCode[] = ["os_error", "not_found", "forbidden"];

/** Errors that are said on stderr. */
const MAX_SAID = 3;

/** What could not be read while the rest was. */
export const Unread = v.object({
  count: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** The first of them. */
  errors: v.array(ErrorBody),
});
export type Unread = v.InferOutput<typeof Unread>;

/** Gathers what could not be read. */
export class UnreadList {
  readonly #errors: ErrorBody[] = [];
  #count = 0;

  /** Throws what is neither a refusal of one path nor something that is not there, such as a cancellation. */
  add(error: unknown): void {
    if (!(error instanceof AppError) || !TOLD.includes(error.code)) throw error;
    this.#count++;
    if (this.#errors.length < MAX_TOLD) this.#errors.push(toErrorBody(error));
  }

  toResult(): Unread {
    return { count: this.#count, errors: this.#errors };
  }
}

/** What is said of it on stderr; undefined when all was read. */
export function showUnread({ count, errors }: Unread): string | undefined {
  if (count === 0) return undefined;
  const said = errors.slice(0, MAX_SAID).map(({ message }) => message);
  return [...said, ...(count > said.length ? [`and ${count - said.length} more`] : [])].join("; ");
}

/** 1 when something could not be read, as find(1) has it. */
export function toUnreadCode({ count }: Unread): number {
  return count === 0 ? 0 : 1;
}
