import type { Session } from "../../client/session.ts";
import type { Environment } from "../../client/config.ts";
import type { Candidate } from "../complete/candidate.ts";
import { complete, type Vocabulary } from "../complete/complete.ts";
import { withPatience } from "../complete/patience.ts";
import { createSource, type Source } from "../complete/source.ts";
import { isGroup } from "../verb.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Question } from "./editor.ts";
import { isNamed } from "./fields.ts";
import { splitUnfinished, type Unfinished, writeWord } from "./words.ts";

/** Milliseconds that a server has to answer: the terminal stands still meanwhile. */
const PATIENCE = 1_000;

export interface CompleterOptions {
  readonly catalogue: Catalogue;
  readonly lend: (signal: AbortSignal) => Promise<Session>;
  readonly env: Environment;
}

/** Completes what is typed at the prompt: commands, options, fields, and what the server has of jobs, files and workspaces. */
export function createCompleter({
  catalogue,
  lend,
  env,
}: CompleterOptions): NonNullable<Question["complete"]> {
  return (before) => withPatience(PATIENCE, (signal) => completeWithin(before, signal));

  async function completeWithin(before: string, signal: AbortSignal): Promise<[string[], string]> {
    const { words, last } = splitUnfinished(before);
    const vocabulary = createVocabulary(catalogue, createSource(lend, env, signal), signal);
    const texts = words.map(({ text }) => text);
    const fields = await findFields(texts, catalogue, signal);
    const field = fields.find((name) => last.bare > name.length && last.text.startsWith(`${name}=`));
    if (field !== undefined) {
      const { candidates } = await complete(texts, `--${last.text}`, vocabulary);
      return write(candidates.map(toField), before, last);
    }
    const { candidates } = await complete(texts, last.text, vocabulary);
    if (candidates.length > 0) return write(candidates, before, last);
    const named = fields.filter((name) => name.startsWith(last.text));
    return write(
      named.map((name) => ({ value: `${name}=`, prefix: `${name}=`, isOpen: true })),
      before,
      last,
    );
  }
}

function createVocabulary(catalogue: Catalogue, source: Source, signal: AbortSignal): Vocabulary {
  return {
    find: (path) => catalogue.find(path, signal),
    async verbs() {
      return (await catalogue.names(signal)).map((value) => ({ value }));
    },
    toSource: () => source,
  };
}

/** The fields of the verb that the words name, if they may be named. */
async function findFields(
  words: readonly string[],
  catalogue: Catalogue,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const [first, second = ""] = words;
  const topic = first === undefined ? undefined : await catalogue.find([first], signal);
  if (first === undefined || topic === undefined) return [];
  const verb = isGroup(topic) ? await catalogue.find([first, second], signal) : topic;
  return verb === undefined || isGroup(verb) || !isNamed(verb) ? [] : Object.keys(verb.args);
}

/** What completes an option completes the field of that name. */
function toField({ prefix = "", value, ...candidate }: Candidate): Candidate {
  return { ...candidate, prefix: prefix.slice(2), value: value.slice(2) };
}

/** As they are to be written, and what of the line each replaces: of a path only its last name, so that lists are readable. */
function write(candidates: readonly Candidate[], before: string, { start }: Unfinished): [string[], string] {
  const replaced = before.slice(start);
  const cut = /['"]/.test(replaced) ? 0 : replaced.lastIndexOf("/") + 1;
  const isOnly = candidates.length === 1;
  const written = candidates.map((candidate) => {
    const { value, prefix = "", isOpen = false } = candidate;
    const word = value === prefix ? value : `${prefix}${writeWord(value.slice(prefix.length))}`;
    const shown = cut === 0 ? word : word.slice(word.lastIndexOf("/", word.length - 2) + 1);
    return isOnly && !isOpen ? `${shown} ` : shown;
  });
  return [written, replaced.slice(cut)];
}
