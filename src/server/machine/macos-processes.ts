import type { ProcessState } from "../../protocol/machine.ts";
import { fromBytes, toFileName } from "../../protocol/path.ts";
import type { FoundProcess } from "./processes.ts";

/** What ps(1) of macOS says of every process: the command line last, since it has spaces, and names apart for the same reason. */
export const PS_PROCESSES = [
  "/bin/ps",
  "-axww",
  "-o",
  "pid=,ppid=,uid=,user=,state=,time=,rss=,lstart=,args=",
];
export const PS_NAMES = ["/bin/ps", "-axww", "-o", "pid=,ucomm="];

const STATES: Readonly<Record<string, ProcessState>> = {
  R: "running",
  S: "sleeping",
  I: "idle",
  U: "blocked",
  T: "stopped",
  Z: "zombie",
};

const ROW =
  /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\d+)\s+(\S+\s+\S+\s+\d+\s+[\d:]+\s+\d+)\s?(.*)$/;

/** Reads both, each text as latin1 has its bytes. A process that only one of them shows came or went between. */
export function parsePs(processes: string, names: string): FoundProcess[] {
  const known = new Map(
    names.split("\n").map((line) => {
      const [, pid, name = ""] = /^\s*(\d+)\s(.*?)\s*$/.exec(line) ?? [];
      return [Number(pid), name] as const;
    }),
  );
  return processes.split("\n").flatMap((line): FoundProcess[] => {
    const [row, pid = "", parent, uid, user = "", state = "", time = "", rss, start = "", args = ""] =
      ROW.exec(line) ?? [];
    const name = known.get(Number(pid));
    if (row === undefined || name === undefined) return [];
    return [
      {
        pid: Number(pid),
        ppid: Number(parent),
        user: Buffer.from(user, "latin1").toString(),
        uid: Number(uid),
        state: STATES[state.slice(0, 1)] ?? "unknown",
        cpuMs: parseTime(time),
        startedAt: new Date(start).toISOString(),
        rssBytes: Number(rss) * 1024,
        ...toFileName(Buffer.from(name, "latin1")),
        ...(args === ""
          ? { argv: [] }
          : { argv: [fromBytes(Buffer.from(args, "latin1"))], isLine: true as const }),
        session: undefined,
        startTime: start,
        marks: [],
      },
    ];
  });
}

/** Reads `1:02.34`, `3:01:02` or `2-03:01:02` as milliseconds. */
export function parseTime(text: string): number {
  const [, days = "0", clock = ""] = /^(?:(\d+)-)?(.*)$/.exec(text) ?? [];
  const seconds = clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  return Math.round((Number(days) * 86_400 + seconds) * 1_000);
}
