import type { Group } from "./verb.ts";

/** What can be done with the record of a job. */
export const job: Group = {
  summary: "Show all of a job, label it, or remove ended ones",
  verbs: {
    show: async () => (await import("./job-show.ts")).jobShow,
    label: async () => (await import("./job-label.ts")).jobLabel,
    remove: async () => (await import("./job-remove.ts")).jobRemove,
    prune: async () => (await import("./job-prune.ts")).jobPrune,
  },
  examples: [
    ["farhand job show 3", "all that is known of it"],
    ["farhand job label 3 nightly=yes team-", "set one label, take another away"],
    ["farhand job prune --older-than 7d", "remove what ended more than a week ago"],
  ],
};
