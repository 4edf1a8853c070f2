import type { ArgSpecs } from "../arguments.ts";
import type { Candidate, Completion } from "./candidate.ts";
import { findKind, type Kind } from "./kind.ts";
import { locate, type Position, type Topic } from "./position.ts";
import type { Source } from "./source.ts";

/** What there is to complete from. */
export interface Vocabulary {
  readonly find: (path: readonly string[]) => Promise<Topic | undefined>;
  /** The words that a line may begin with, each with what it does. */
  readonly verbs: () => Promise<readonly Candidate[]>;
  /** What a server knows; `given`: the options on the line that say which. */
  readonly toSource: (given: Position["given"]) => Source;
}

/** What the last word of a line may go on as, behind the words before it. Throws what a server's refusal throws. */
export async function complete(
  words: readonly string[],
  text: string,
  vocabulary: Vocabulary,
): Promise<Completion> {
  const [first, ...rest] = words;
  const position = await locate(first === "help" ? rest : words, text, vocabulary.find);
  if (position === undefined) return { candidates: [] };
  const { wanted } = position;
  if (first === "help" && wanted.type !== "verb") return { candidates: [] };
  if (wanted.type === "verb") {
    const verbs =
      wanted.group === undefined ? vocabulary.verbs() : listVerbs(Object.entries(wanted.group.verbs));
    return match(await verbs, text);
  }
  if (wanted.type === "option") return match(listOptions(wanted.args), text);
  const kind = findKind(position);
  if (kind === undefined) return { candidates: [] };
  if (kind.type === "local") return { candidates: [], isLocal: true };
  const prefix = wanted.type === "value" ? wanted.prefix : "";
  const found = await list(kind, text.slice(prefix.length), vocabulary, position);
  return match(
    found.map((candidate) => ({ ...candidate, prefix, value: `${prefix}${candidate.value}` })),
    text,
  );
}

/** Verbs by their names, each with its summary. */
export function listVerbs(
  entries: readonly (readonly [name: string, load: () => Promise<Topic>])[],
): Promise<readonly Candidate[]> {
  return Promise.all(
    entries.map(async ([value, load]) => {
      const { summary } = await load();
      return { value, description: summary };
    }),
  );
}

function listOptions(args: ArgSpecs): readonly Candidate[] {
  return Object.entries(args).flatMap(([name, { type, description }]) =>
    type === "positional" ? [] : [{ value: `--${name}`, description }],
  );
}

async function list(
  kind: Kind,
  text: string,
  { verbs, toSource }: Vocabulary,
  { given }: Position,
): Promise<readonly Candidate[]> {
  switch (kind.type) {
    case "choice":
      return kind.choices.map((value) => ({ value }));
    case "command":
      return await verbs();
    case "host":
      return await toSource(given).hosts();
    case "kept-host":
      return await toSource(given).keptHosts();
    case "job":
      return await toSource(given).jobs(kind.isRunning);
    case "workspace":
      return await toSource(given).workspaces();
    case "task":
      return await toSource(given).tasks();
    case "local":
      return []; // the shell's matter
    case "path":
      return await toSource(given).paths(text);
  }
}

/** Those that go on from the text. */
function match(candidates: readonly Candidate[], text: string): Completion {
  return { candidates: candidates.filter(({ value }) => value.startsWith(text)) };
}
