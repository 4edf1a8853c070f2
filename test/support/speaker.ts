import { resolve } from "node:path";

const fixture = resolve(import.meta.dir, "../fixtures/speaker.ts");

/** What a runner of ours is to do. */
export type Step =
  | { readonly type: "value"; readonly value: unknown }
  /** The numbers from 0, as values. */
  | { readonly type: "values"; readonly count: number }
  /** A text of this length. */
  | { readonly type: "large"; readonly length: number }
  | { readonly type: "part"; readonly value: unknown }
  | { readonly type: "end"; readonly end: unknown }
  | { readonly type: "raw"; readonly bytes: readonly number[] }
  | { readonly type: "stdout"; readonly text: string }
  /** Says the next line of its input. */
  | { readonly type: "line" }
  | { readonly type: "pause"; readonly ms: number }
  | { readonly type: "kill"; readonly signal: NodeJS.Signals }
  | { readonly type: "exit"; readonly code: number };

/** A runner that takes these steps, as its keeper is to start it. */
export function speaker(...steps: readonly Step[]): {
  readonly argv: readonly string[];
  readonly order: Uint8Array;
} {
  return {
    argv: [process.execPath, "--config=/dev/null", fixture],
    order: new TextEncoder().encode(`${JSON.stringify(steps)}\n`),
  };
}
