import { count } from "../../lib/count.ts";
import { escapeControls } from "../../lib/escape.ts";
import type { AuditLine } from "./line.ts";
import type { AuditProof } from "./verification.ts";

/** What `audit verify` says. */
export function describeProof({
  holds,
  lines,
  files,
  first,
  last,
  hash,
  time,
  torn,
  pruned,
  fault,
}: AuditProof): string {
  const where = `${count(lines, "line")} in ${count(files, "file")}`;
  if (holds && hash === undefined) return "The audit log is empty";
  const said = [
    ...(pruned === undefined ? [] : [`Lines 1 to ${pruned} were removed as the configuration asks`]),
    ...(torn === 0
      ? []
      : [`${count(torn, "line")} torn by writers that were killed, as lines behind them say`]),
  ];
  if (fault !== undefined) {
    const place = fault.file === undefined ? "" : ` (${fault.file}:${fault.at})`;
    const sound = last === undefined ? [] : [`Sound up to line ${last}, with the hash ${hash}`];
    return [
      `The audit log is ${fault.kind} at line ${fault.number}${place}: ${fault.why}`,
      ...sound,
      ...said,
    ].join("\n  ");
  }
  const kept =
    "Keep this hash elsewhere: --expect HASH then shows that nothing up to it was changed or cut off";
  return [
    `The chain holds: ${where}, numbers ${first} to ${last}`,
    `newest hash ${hash} of ${time}`,
    kept,
    ...said,
  ].join("\n  ");
}

const SHOWN_APART = ["n", "time", "prev", "hash", "event", "user", "source"];

/** A line as `audit show` prints it: when, what, who from where, and all else that it says. */
export function describeLine({ time, event, fields }: AuditLine): string {
  const { user, source } = fields;
  const who = [user ?? "-", ...(source === undefined ? [] : [`@${source}`])].join("");
  const rest = Object.entries(fields)
    .filter(([name]) => !SHOWN_APART.includes(name))
    .map(
      ([name, value]) =>
        `${name}=${typeof value === "string" && /^[\w./:@-]+$/.test(value) ? value : JSON.stringify(value)}`,
    );
  return escapeControls([time, event.padEnd(15), who, ...rest].join(" "));
}
