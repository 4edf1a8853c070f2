import * as v from "valibot";
import type { FoundProcess } from "./processes.ts";

/** Has Windows tell of every process, one JSON object with a list. Whose a process is, only its own user and administrators are told. */
export const CIM_PROCESSES = `[Console]::OutputEncoding = [Text.Encoding]::UTF8
$rows = Get-CimInstance Win32_Process | ForEach-Object {
  $owner = Invoke-CimMethod -InputObject $_ -MethodName GetOwner -ErrorAction SilentlyContinue
  [pscustomobject]@{
    pid = $_.ProcessId; ppid = $_.ParentProcessId; name = $_.Name; line = $_.CommandLine; user = $owner.User
    ticks = [string]($_.KernelModeTime + $_.UserModeTime); rss = [string]$_.WorkingSetSize
    start = if ($_.CreationDate) { [string]$_.CreationDate.ToFileTimeUtc() } else { $null }
  }
}
ConvertTo-Json -Compress -InputObject @{ processes = @($rows) }`;

const text = v.optional(v.nullable(v.string()));
const Row = v.object({
  pid: v.number(),
  ppid: v.number(),
  name: v.string(),
  line: text,
  user: text,
  ticks: v.string(),
  rss: v.string(),
  start: text,
});
const List = v.object({ processes: v.array(Row) });

/** Milliseconds from 1601, where Windows begins to count, to 1970. */
const EPOCH = 11_644_473_600_000;
/** Ticks of 100 ns in a millisecond. */
const TICKS = 10_000;

/** Reads that list. Throws on anything else. */
export function parseCim(json: string): FoundProcess[] {
  const { processes } = v.parse(List, JSON.parse(json.replace(/^\ufeff/, "")));
  return processes.map(({ pid, ppid, name, line, user, ticks, rss, start }) => ({
    pid,
    ppid,
    user: user ?? "",
    state: "unknown",
    cpuMs: Math.round(Number(ticks) / TICKS),
    ...(start && { startedAt: new Date(Number(start) / TICKS - EPOCH).toISOString() }),
    rssBytes: Number(rss),
    name,
    argv: line ? parseLine(line) : [],
    session: undefined,
    startTime: start ?? "",
    marks: [],
  }));
}

/**
 * The words of a command line as programs of Microsoft's C library read it: the first has no escapes; elsewhere backslashes
 * escape only a quote behind them, and two quotes inside quotes are one.
 */
export function parseLine(line: string): string[] {
  const [, quoted, plain = ""] = /^(?:"([^"]*)"?|([^\\s"]\S*))/.exec(line.trimStart()) ?? [];
  const first = quoted ?? plain;
  const rest = line.trimStart().slice(quoted === undefined ? plain.length : quoted.length + 2);
  return [first, ...parseWords(rest)];
}

function parseWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let isQuoted = false;
  for (let index = 0; index < text.length;) {
    const [backslashes = ""] = /^\\*/.exec(text.slice(index)) ?? [];
    const next = text[index + backslashes.length];
    if (backslashes !== "") {
      const isEscaping = next === '"';
      word = (word ?? "") + "\\".repeat(isEscaping ? Math.floor(backslashes.length / 2) : backslashes.length);
      index += backslashes.length;
      if (!isEscaping || backslashes.length % 2 === 0) continue;
      word += '"';
      index++;
    } else if (next === '"') {
      const isDoubled = isQuoted && text[index + 1] === '"';
      word = (word ?? "") + (isDoubled ? '"' : "");
      if (!isDoubled) isQuoted = !isQuoted;
      index += isDoubled ? 2 : 1;
    } else if (!isQuoted && (next === " " || next === "\t")) {
      if (word !== undefined) words.push(word);
      word = undefined;
      index++;
    } else {
      word = (word ?? "") + next;
      index++;
    }
  }
  return word === undefined ? words : [...words, word];
}
