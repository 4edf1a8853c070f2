import * as v from "valibot";
import { parseDuration } from "../../lib/duration.ts";
import { parseSize } from "../../lib/size.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_RETAINED_JOBS } from "../../protocol/limits.ts";

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
  age: v.optional(v.pipe(v.string(), toLimit(parseDuration))),
  jobs: v.optional(v.pipe(v.union([v.number(), v.string()]), toLimit(parseCount))),
  bytes: v.optional(v.pipe(v.string(), toLimit(parseSize))),
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

function toLimit<I extends string | number>(parse: (text: string) => number) {
  return v.rawTransform<I, number>(({ dataset, addIssue, NEVER }) => {
    if (dataset.value === "all") return Number.POSITIVE_INFINITY;
    try {
      return parse(String(dataset.value));
    } catch (error) {
      const [, why = ""] = /: (.*)$/.exec(error instanceof RangeError ? error.message : "") ?? [];
      addIssue({ message: `${why}, or all` });
      return NEVER;
    }
  });
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new RangeError(`Cannot read count "${text}": write a whole number from 1 on`);
}
