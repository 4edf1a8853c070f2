import type { Context } from "../context.ts";
import { toSignalCode } from "../exit.ts";
import type { StandingSession } from "../standing.ts";
import type { Editor, Question } from "./editor.ts";
import type { History } from "./history.ts";
import { findDirectory, type Place, toPrompt } from "./location.ts";
import type { Done, Runner } from "./runner.ts";

export interface Dialogue {
  readonly editor: Editor;
  readonly history: History;
  readonly runner: Runner;
  readonly context: Context;
  readonly standing: StandingSession;
  readonly place: Place;
  readonly complete: NonNullable<Question["complete"]>;
  /** Aborted by what ends the console. */
  readonly signal: AbortSignal;
}

/** Asks for a line and does it, until there are no more. Answers the exit code that was asked for; throws the signal's reason. */
export async function converse(dialogue: Dialogue): Promise<number> {
  const { editor, history, runner, context, complete, signal } = dialogue;
  signal.addEventListener("abort", () => editor.stop(), { once: true });
  for (let directory: string | undefined; ;) {
    directory = (await findDirectoryNow(dialogue)) ?? directory;
    signal.throwIfAborted();
    const prompt = toPrompt(dialogue.place, directory, context.hasColors("stdout"));
    const answer = await editor.ask({ prompt, history: history.lines, complete });
    signal.throwIfAborted();
    if (answer.type === "end") return await leave(context);
    if (answer.type === "interrupted") continue;
    history.add(answer.line);
    if (/^[ \t]*(#|$)/.test(answer.line)) continue;
    const done = await runner.run(answer.line);
    editor.stop(); // what is typed was for the command
    if (done.type === "exit") return done.code;
    await conclude(done, dialogue);
  }
}

/** Tells what the command itself has not told, and sees to it that the prompt has a line of its own. */
async function conclude(
  { code, isTold }: Extract<Done, { type: "done" }>,
  { editor, context }: Dialogue,
): Promise<void> {
  const { stdout, stderr } = context.sinks;
  if (code === toSignalCode("INT")) {
    editor.drop(); // lines that were pasted behind it
    stderr.write("\n"); // behind the terminal's own ^C
  }
  if (code !== 0 && !isTold) stderr.writeLine(`exit code ${code}`);
  await stderr.flushed();
  stdout.write(toFreshLine(context.screen()?.columns ?? 0));
  await stdout.flushed();
}

/**
 * What brings a terminal to the beginning of a line, wherever it is: a mark, and as many spaces as the rest of a line takes.
 * At the beginning of one the mark is wiped off; behind an output without its last newline it stays.
 */
function toFreshLine(columns: number): string {
  return columns < 2 ? "" : `\x1b[0;7m%\x1b[0m${" ".repeat(columns - 1)}\r\x1b[K`;
}

async function findDirectoryNow({ standing, signal }: Dialogue): Promise<string | undefined> {
  const { session } = standing;
  return session?.state.state === "connected" ? await findDirectory(session, signal) : undefined;
}

async function leave({ sinks: { stdout } }: Context): Promise<number> {
  stdout.write("\n");
  await stdout.flushed();
  return 0;
}
