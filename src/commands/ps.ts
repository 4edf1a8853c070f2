import * as v from "valibot";
import { formatDuration } from "../lib/duration.ts";
import { escapeControls } from "../lib/escape.ts";
import { quote } from "../lib/quote.ts";
import { formatSize } from "../lib/size.ts";
import { toWidth } from "../lib/width.ts";
import { JobRef } from "../protocol/id.ts";
import { MachineProcess } from "../protocol/machine.ts";
import { toBytes } from "../protocol/path.ts";
import type { ByteString } from "../protocol/value.ts";
import { defineStream } from "./define.ts";

const text = v.pipe(v.string(), v.minLength(1, "is empty"), v.maxLength(256, "has more than 256 characters"));

/** Columns of a row, the last of which takes what it needs: negative ones begin at the left. */
const WIDTHS = [7, 7, -10, -8, 8, -16, 10, 5];

export const ps = defineStream({
  name: "ps",
  summary: "List the processes of the machine, and which jobs they are of",
  permission: "read",
  idempotent: true,
  asUser: true,
  asksJobs: true,
  input: v.object({
    /** Only those of this user, by name or number. */
    user: v.optional(text),
    /** Only those of this name: the system's, or the program's without its directory. */
    name: v.optional(text),
    /** Only those of this job. */
    job: v.optional(JobRef),
  }),
  positional: ["name"],
  event: MachineProcess,
  /** How many were listed. */
  result: v.object({ processes: v.number() }),

  async *run({ user, name, job }, { machine, jobs, signal }) {
    const id = job === undefined ? undefined : (await jobs.get(job)).id;
    let processes = 0;
    for await (const found of machine.processes(signal)) {
      if (user !== undefined && found.user !== user && String(found.uid) !== user) continue;
      if (name !== undefined && found.name !== name && toProgram(found) !== name) continue;
      if (id !== undefined && found.job?.id !== id) continue;
      processes++;
      yield found;
    }
    return { processes };
  },

  cli: {
    args: {
      name: { type: "positional", description: "Only those of this name, or program" },
      user: { type: "string", alias: "u", valueHint: "name", description: "Only those of this user" },
      job: { type: "string", alias: "j", valueHint: "job", description: "Only those of this job" },
    },
    examples: [
      ["farhand ps", "every process of the machine"],
      ["farhand ps --user www-data nginx", "one user's, of one name"],
      ["farhand ps --job @last", "all that came of a job and is left"],
      ["farhand ps --json | jq -r 'select(.rssBytes > 1e9) | .pid'", "one JSON object per line"],
    ],
    toInput(values) {
      const [user, name, job] = [values.text("user"), values.text("name"), values.text("job")];
      return {
        ...(user !== undefined && { user }),
        ...(name !== undefined && { name }),
        ...(job !== undefined && { job }),
      };
    },
    heading: toRow(["PID", "PPID", "USER", "STATE", "CPU", "STARTED", "MEMORY", "JOB", "COMMAND"]),
    show: (found) =>
      toRow([
        String(found.pid),
        String(found.ppid),
        found.user,
        found.state,
        formatDuration(found.cpuMs),
        found.startedAt?.slice(0, 16).replace("T", " ") ?? "",
        formatSize(found.rssBytes),
        found.job === undefined ? "" : String(found.job.number),
        toCommand(found),
      ]),
  },
});

function toRow(cells: readonly string[]): string {
  return cells
    .map((cell, column) => {
      const shown = escapeControls(cell);
      const width = WIDTHS[column] ?? 0;
      const pad = " ".repeat(Math.max(0, Math.abs(width) - toWidth(shown)));
      return width > 0 ? pad + shown : shown + pad;
    })
    .join("  ")
    .trimEnd();
}

/** Of a part of the kernel, or one that does not show its words, the name as ps(1) has it. */
function toCommand({ argv, name, isLine, isCut }: MachineProcess): string {
  if (argv.length === 0) return `[${name}]`;
  const words = argv.map(toText);
  return `${(isLine ? words : words.map(quote)).join(" ")}${isCut ? " …" : ""}`;
}

function toProgram({ argv: [first] }: MachineProcess): string | undefined {
  return first === undefined ? undefined : toText(first).replace(/^.*[/\\]/s, "");
}

function toText(word: ByteString): string {
  return typeof word === "string" ? word : new TextDecoder().decode(toBytes(word));
}
