import * as v from "valibot";
import { defineForeground } from "./define.ts";

export const ping = defineForeground({
  name: "ping",
  summary: "Measure the round trip of a command, and exit 0 if the server answers",
  permission: "read",
  idempotent: true,
  input: v.object({}),
  result: v.object({}),

  run: async () => ({}),

  cli: {
    args: {
      count: { type: "string", alias: "c", valueHint: "n", description: "How many times (default 4)" },
      interval: {
        type: "string",
        alias: "i",
        valueHint: "duration",
        description: "Time between two (default 1s)",
      },
    },
    examples: [["farhand -H web1 ping -c 10 -i 100ms", "ten round trips"]],
    toInput: () => ({}),
    show: () => "pong",
  },
});
