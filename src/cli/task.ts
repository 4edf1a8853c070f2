import type { Group } from "./verb.ts";

/** What can be done with tasks. */
export const task: Group = {
  summary: "Start, ask and end tasks: modules of yours that keep a state on the server",
  verbs: {
    start: async () => (await import("./task-start.ts")).taskStart,
    exec: async () => (await import("./task-exec.ts")).taskExec,
    await: async () => (await import("./task-await.ts")).taskAwait,
    stop: async () => (await import("./task-stop.ts")).taskStop,
    restart: async () => (await import("./task-restart.ts")).taskRestart,
    list: async () => (await import("./task-list.ts")).taskList,
    show: async () => (await import("./task-show.ts")).taskShow,
    follow: async () => (await import("./task-follow.ts")).taskFollow,
  },
  examples: [
    ["farhand task start counter counter.ts", "ship a module, and have its init make a state"],
    ["farhand task exec counter '{\"add\": 2}' --await", "have it do something, and see what it answers"],
    ["farhand task stop counter", "its exit runs, and what it answers is printed"],
  ],
};
