import type { Group } from "./verb.ts";

/** What can be done with a token of one's own, without a server. */
export const token: Group = {
  summary: "Make a token that may do less than yours, or show what one may",
  verbs: {
    narrow: async () => (await import("./token-narrow.ts")).tokenNarrow,
    show: async () => (await import("./token-show.ts")).tokenShow,
  },
  examples: [
    [
      "farhand -H web1 token narrow --argv 'git fetch *' --cwd /srv/app --uses 2 --expires 1h",
      "one for a script that fetches, twice within the hour",
    ],
    ["FARHAND_TOKEN=$(cat fetch.token) farhand token show", "what one may do"],
  ],
};
