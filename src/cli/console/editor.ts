import { createInterface, type Interface } from "node:readline";
import { turn } from "../../lib/abort.ts";
import type { LineTerminal } from "../context.ts";

/** What came of asking for a line. */
export type Answer =
  | { readonly type: "line"; readonly line: string }
  /** Ctrl-C: what was written is dropped. */
  | { readonly type: "interrupted" }
  /** Ctrl-D, or the terminal is gone. */
  | { readonly type: "end" };

export interface Question {
  readonly prompt: string;
  /** Lines that the arrow keys bring back, oldest first. */
  readonly history: readonly string[];
  /** What the text before the cursor may go on with, and of that text what each of them replaces. */
  readonly complete?: (before: string) => Promise<[candidates: string[], replaced: string]>;
}

/**
 * Asks for lines on a terminal, with Node's own line editing. Between two questions the terminal is as it was, so that Ctrl-C
 * is a signal then, and what is typed waits for the next question. Lines that come at once, as pasted ones, are given one by one.
 */
export class Editor {
  readonly #terminal: LineTerminal;
  /** Lines that came with another one, and the beginning of the one behind them. */
  #waiting: string[] = [];
  #begun = "";
  #asking: Interface | undefined;

  constructor(terminal: LineTerminal) {
    this.#terminal = terminal;
  }

  async ask(question: Question): Promise<Answer> {
    const [line] = this.#waiting.splice(0, 1);
    if (line === undefined) return await this.#read(question);
    this.#terminal.output.write(`${question.prompt}${line}\n`);
    return { type: "line", line };
  }

  /** Forgets lines that came with another one. */
  drop(): void {
    this.#waiting = [];
    this.#begun = "";
  }

  /** Whether a line is being written at the moment. */
  get isAsking(): boolean {
    return this.#asking !== undefined;
  }

  /** Whoever waits for a line gets the end. */
  stop(): void {
    this.#asking?.close();
  }

  #read({ prompt, history, complete }: Question): Promise<Answer> {
    const { input, output } = this.#terminal;
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const asking = createInterface({
      input,
      output,
      terminal: true,
      prompt,
      history: history.toReversed(),
      historySize: history.length + 1,
      ...(complete && { completer: toCompleter(complete) }),
    });
    this.#asking = asking;
    const lines: string[] = [];
    asking.on("line", (line) => {
      if (lines.push(line) === 1) turn().then(() => asking.close());
    });
    asking.on("SIGINT", () => {
      asking.write(null, { ctrl: true, name: "e" }); // what is below the cursor stays readable
      output.write("^C\n");
      lines.length = 0;
      this.drop();
      resolve({ type: "interrupted" });
      asking.close();
    });
    asking.on("close", () => {
      this.#asking = undefined;
      const [line, ...others] = lines;
      if (line === undefined) return resolve({ type: "end" });
      this.#waiting.push(...others);
      this.#begun = asking.line;
      resolve({ type: "line", line });
    });
    asking.prompt();
    if (this.#begun !== "") asking.write(this.#begun);
    this.#begun = "";
    return promise;
  }
}

/** Completing never fails: there is nothing to complete then. */
function toCompleter(complete: NonNullable<Question["complete"]>) {
  return (before: string, done: (error: null, result: [string[], string]) => void) => {
    complete(before).then(
      (result) => done(null, result),
      () => done(null, [[], before]),
    );
  };
}
