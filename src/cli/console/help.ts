import { escapeControls, toJsonLine } from "../../lib/escape.ts";
import { toWidth } from "../../lib/width.ts";
import type { Context } from "../context.ts";
import { isGroup } from "../verb.ts";
import type { Catalogue, Topic } from "./catalogue.ts";

const HINTS = `name a b key=value   words fill a command's fields in their order, key=value names one
'a b' "a b" a\\ b      one word; nothing else is evaluated
help NAME            all of one command, with its options
exit [CODE], Ctrl-D  leave; Ctrl-C ends a command, or clears the line`;

/** Lists what can be done in a console, with what only its server offers at the end. */
export async function showCommands(
  catalogue: Catalogue,
  { globals, sinks, signal }: Context,
): Promise<number> {
  const own = catalogue
    .verbs()
    .map(async (name) => [name, toSummary(await catalogue.find([name], signal))] as const);
  const custom = await catalogue.list(signal);
  const rows = [...(await Promise.all(own)), ...custom.map(({ name, summary }) => [name, summary] as const)];
  if (globals.json) {
    sinks.stdout.writeLine(toJsonLine({ commands: rows.map(([name, summary]) => ({ name, summary })) }));
    return 0;
  }
  const width = Math.max(...rows.map(([name]) => toWidth(escapeControls(name))));
  const lines = rows.map(([name, summary]) => {
    const shown = escapeControls(name);
    return `${shown}${" ".repeat(width + 2 - toWidth(shown))}${escapeControls(summary)}`;
  });
  sinks.stdout.writeLine(`${lines.join("\n")}\n\n${HINTS}`);
  return 0;
}

function toSummary(topic: Topic | undefined): string {
  if (topic === undefined) return "";
  return isGroup(topic) ? `${topic.summary} (${Object.keys(topic.verbs).join(", ")})` : topic.summary;
}
