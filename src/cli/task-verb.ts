import { withoutSkew } from "../client/tasks/skew.ts";
import type { Verb } from "./verb.ts";

/** A verb about tasks, which not every server knows. */
export function toTaskVerb(verb: Verb): Verb {
  return { ...verb, run: (values, context) => withoutSkew(verb.run(values, context)) };
}
