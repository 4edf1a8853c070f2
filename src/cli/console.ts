import { join } from "node:path";
import { createWorkspace, findWorkspace } from "../client/workspace.ts";
import { abortable } from "../lib/abort.ts";
import { defaultState } from "../lib/state.ts";
import { AppError } from "../protocol/error.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { Catalogue } from "./console/catalogue.ts";
import { createCompleter } from "./console/completer.ts";
import { converse } from "./console/dialogue.ts";
import { Editor } from "./console/editor.ts";
import { History } from "./console/history.ts";
import { Runner } from "./console/runner.ts";
import { readScript, runScript } from "./console/script.ts";
import { type Context, openSession } from "./context.ts";
import { Interrupts } from "./interrupts.ts";
import { readLocalFile } from "./local-file.ts";
import { Interrupted } from "./main.ts";
import { Sink } from "./sink.ts";
import { StandingSession } from "./standing.ts";
import type { Verb } from "./verb.ts";

const args = {
  file: {
    type: "string",
    alias: "f",
    valueHint: "path",
    description: "Do what the lines of this file say (-: stdin)",
  },
  "keep-going": { type: "boolean", alias: "k", description: "Go on after a line of a script that fails" },
} as const satisfies ArgSpecs;

/** Runs commands one after another, as a person types them or a script says. */
export const consoleVerb: Verb = {
  summary: "Type commands at a prompt, or run a script of them",
  args,
  examples: [
    ["farhand -H web1 console", "a prompt, with history and completion; help lists what can be typed"],
    ["farhand console < deploy.farhand", "line after line, up to the first that fails, with its exit code"],
    ["farhand -w build console -f deploy.farhand -k", "in a named workspace; go on after failures"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const { globals, env, interrupts } = context;
  const workspace = findWorkspace(globals.workspace, env) ?? createWorkspace();
  const path = values.text("file");
  const terminal = path === undefined ? context.terminal() : undefined;
  const [inner, stop] = [new Interrupts(), new AbortController()];
  using editor = terminal && new Editor(terminal, context.sinks.stdout, () => inner.raise("INT"));
  // Ctrl-C at a prompt ends a command, if one runs; any other signal, and in a script that too, ends the console behind it.
  using _route = interrupts.route((interrupt) => {
    if (editor === undefined || interrupt !== "INT") stop.abort(new Interrupted(interrupt));
    inner.raise(interrupt);
  });
  await using standing = new StandingSession((signal) => {
    const sinks = { ...context.sinks, stderr: createQuietSink(context.sinks.stderr, editor) };
    return openSession({ ...context, sinks, signal }, workspace);
  });
  const lend = (signal: AbortSignal) => standing.lend(signal);
  const catalogue = new Catalogue(lend);
  await welcomed(standing, stop.signal);
  const stdin = editor === undefined ? toStdin(path, context) : () => readTyped(editor, inner);
  const localTerminal = async () => {
    const local = await context.localTerminal();
    return local && (editor?.lend(local) ?? local);
  };
  const surroundings = { ...context, stdin, localTerminal, isConsole: true };
  const runner = new Runner({ surroundings, interrupts: inner, globals: values, standing, catalogue });
  if (editor === undefined) {
    const lines = readScript(openScript(path, context));
    return await runScript(lines, {
      runner,
      context,
      signal: stop.signal,
      keepsGoing: values.flag("keep-going"),
    });
  }
  return await converse({
    editor,
    runner,
    context,
    standing,
    place: {
      host: globals.host ?? (env["FARHAND_HOST"] || "localhost"),
      workspace: workspace.isOwn ? undefined : workspace.name,
    },
    history: new History(join(globals.state ?? defaultState(env), "console-history")),
    complete: createCompleter({ catalogue, lend, env }),
    signal: stop.signal,
  });
}

/** A server that cannot be reached is told of before anything is typed. */
async function welcomed(standing: StandingSession, signal: AbortSignal): Promise<void> {
  await using session = await standing.lend(signal);
  await abortable(session.welcome, signal);
}

/** Says nothing while somebody writes a line: it would be amid that. */
function createQuietSink(stderr: Sink, editor: Editor | undefined): Sink {
  return new Sink("stderr", () => ({
    write(bytes) {
      if (editor?.isAsking !== true) stderr.write(bytes);
      return bytes.length;
    },
    async flush() {
      await stderr.flushed();
      return 0;
    },
  }));
}

/** What is typed for a command that takes bytes, up to Ctrl-D. */
async function* readTyped(editor: Editor, interrupts: Interrupts): AsyncGenerator<Uint8Array, void, void> {
  for (;;) {
    const answer = await editor.ask({ prompt: "", history: [] });
    if (answer.type === "interrupted") interrupts.raise("INT");
    if (answer.type !== "line") return;
    yield new TextEncoder().encode(`${answer.line}\n`);
  }
}

function openScript(path: string | undefined, { stdin }: Context): AsyncIterable<Uint8Array> {
  return path === undefined || path === "-" ? stdin() : readLocalFile(path);
}

/** What commands of a script read: nothing, where the script itself comes from there. */
function toStdin(path: string | undefined, { stdin }: Context): Context["stdin"] {
  if (path !== undefined && path !== "-") return stdin;
  return async function* () {
    throw new AppError(
      "invalid_input",
      "Cannot read stdin: the script comes from there; give that with --file",
    );
  };
}
