import * as v from "valibot";

/** What a running server leaves in `local.json` for clients and later commands of the same user. */
export const LocalServer = v.object({
  /** Where it answers on this machine: the only address to which a client may send the token. */
  url: v.string(),
  token: v.string(),
  pid: v.number(),
  version: v.string(),
});
export type LocalServer = v.InferOutput<typeof LocalServer>;
