import type { Verb } from "./verb.ts";
export const completion: Verb = {
  summary: "Print a completion script for a shell",
  args: {},
  examples: [["farhand completion bash", "x"]],
  run: async () => 0,
};
