import { composeTypes } from "./types.ts" with { type: "macro" };
import counter from "./counter.txt" with { type: "text" };
import hello from "./hello.txt" with { type: "text" };
import tsconfig from "./tsconfig.txt" with { type: "text" };

/** What `farhandd extension init` writes, by their paths. */
export const STARTER: Readonly<Record<string, string>> = {
  "hello.ts": hello,
  "tasks/counter.ts": counter,
  "tsconfig.json": tsconfig,
  "farhand.d.ts": composeTypes(),
};
