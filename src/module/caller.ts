import * as v from "valibot";

/** Who calls, as a module is told. */
export const Caller = v.object({
  user: v.string(),
  /** The role in which he calls. */
  role: v.string(),
  /** The address that he comes from, or `unix`. */
  source: v.string(),
});
export type Caller = v.InferOutput<typeof Caller>;
