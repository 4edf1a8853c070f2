import * as v from "valibot";
import { parseDuration } from "../../lib/duration.ts";
import { parseSize } from "../../lib/size.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_RETAINED_JOBS } from "../../protocol/limits.ts";
import { toQuantity } from "../quantity.ts";

/** Beyond which ended jobs are removed, oldest first. Infinite where there is no limit. */
export interface RetentionLimits {
  /** Milliseconds since a job ended. */
  readonly age: number;
  /** Ended jobs. */
  readonly jobs: number;
  /** Bytes of all ledgers, those of running jobs too; undefined for a share of the file system. */
  readonly bytes: number | undefined;
}

const DEFAULT_RETENTION: RetentionLimits = {
  age: Number.POSITIVE_INFINITY,
  jobs: MAX_RETAINED_JOBS,
  bytes: undefined,
};

/** What the configuration file may say of it; `"all"` takes a limit away. */
export const RetentionTable = v.strictObject({
  age: v.optional(v.pipe(v.string(), toQuantity(orAll(parseDuration)))),
  jobs: v.optional(v.pipe(v.union([v.number(), v.string()]), toQuantity(orAll(parseCount)))),
  bytes: v.optional(v.pipe(v.string(), toQuantity(orAll(parseSize)))),
});
export type RetentionTable = v.InferOutput<typeof RetentionTable>;

/** What the command line may say of it, by the names of the flags. */
export type RetentionFlags = { readonly [Key in keyof RetentionTable]?: string | undefined };

/** Puts flags and file together over the defaults. Throws `invalid_config`, naming the flag. */
export function toRetention(flags: RetentionFlags, table: RetentionTable = {}): RetentionLimits {
  const given = Object.entries(flags).flatMap(([key, text]) => {
    if (text === undefined) return [];
    const parsed = v.safeParse(RetentionTable, { [key]: text });
    if (parsed.success) return Object.entries(parsed.output);
    const why = parsed.issues[0].message;
    throw new AppError("invalid_config", `Cannot use --retention-${key} "${text}": ${why}`);
  });
  const { age, jobs, bytes }: RetentionTable = { ...table, ...Object.fromEntries(given) };
  return { age: age ?? DEFAULT_RETENTION.age, jobs: jobs ?? DEFAULT_RETENTION.jobs, bytes };
}

/** Reads `all` as no limit. */
function orAll(parse: (text: string) => number): (text: string) => number {
  return (text) => {
    if (text === "all") return Number.POSITIVE_INFINITY;
    try {
      return parse(text);
    } catch (error) {
      throw error instanceof RangeError ? new RangeError(`${error.message}, or all`) : error;
    }
  };
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new RangeError(`Cannot read count "${text}": write a whole number from 1 on`);
}
