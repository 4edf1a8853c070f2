import * as v from "valibot";

/** Larger than any number of a user or a group: the system means "none" by the one that follows. */
const id = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(2 ** 32 - 2));

/** Groups that Linux lets a process be in. */
const MAX_GROUPS = 65_536;

/** As whom a process runs that is not to be root: never 0, by which a mistake would be root. */
export const Credentials = v.object({
  uid: v.pipe(id, v.minValue(1)),
  /** The primary group. */
  gid: id,
  /** All groups besides. */
  groups: v.pipe(v.array(id), v.maxLength(MAX_GROUPS)),
});
export type Credentials = v.InferOutput<typeof Credentials>;
