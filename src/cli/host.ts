import type { Group } from "./verb.ts";

/** What can be done with the hosts that are kept. */
export const host: Group = {
  summary: "Keep hosts under names, with what they are known by and their tokens",
  verbs: {
    add: async () => (await import("./host-add.ts")).hostAdd,
    list: async () => (await import("./host-list.ts")).hostList,
    show: async () => (await import("./host-show.ts")).hostShow,
    remove: async () => (await import("./host-remove.ts")).hostRemove,
  },
  examples: [
    ["farhand host add web1 web1.lab", "look at its certificate, and keep it as web1"],
    ["farhand host list", "all that are kept"],
    ["farhand host remove web1", "forget it, and its token"],
  ],
};
