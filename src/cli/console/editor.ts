import { createInterface, type Interface } from "node:readline";
import { turn } from "../../lib/abort.ts";
import type { LineTerminal } from "../context.ts";
import type { LocalTerminal } from "../raw-mode.ts";
import type { Sink } from "../sink.ts";
import { openCanvas } from "./canvas.ts";
import { Keys } from "./keys.ts";

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
 * Asks for lines on a terminal, with Node's own line editing. What is typed between two questions waits for the next. Lines that come at once, as pasted ones, are given one by one.
 */
export class Editor implements Disposable {
  readonly #keys: Keys;
  readonly #terminal: LineTerminal;
  readonly #sink: Sink;
  /** Lines that came with another one, and the beginning of the one behind them. */
  #waiting: string[] = [];
  #begun = "";
  /** Whether Ctrl-D came with them, behind the last. */
  #isEnded = false;
  #asking: Interface | undefined;
  #close: (() => void) | undefined;

  /** `sink`: where everything that is shown on this terminal goes. `onInterrupt`: called with a Ctrl-C between questions. */
  constructor(terminal: LineTerminal, sink: Sink, onInterrupt: () => void) {
    this.#keys = new Keys(terminal.input, () => {
      sink.write("^C");
      onInterrupt();
    });
    this.#terminal = terminal;
    this.#sink = sink;
  }

  async ask(question: Question): Promise<Answer> {
    const [line] = this.#waiting.splice(0, 1);
    if (line === undefined && this.#isEnded) {
      this.#isEnded = false;
      return { type: "end" };
    }
    if (line === undefined) return await this.#read(question);
    this.#sink.write(`${question.prompt}${line}\n`);
    return { type: "line", line };
  }

  /** Forgets lines that came with another one. */
  drop(): void {
    this.#waiting = [];
    this.#begun = "";
    this.#isEnded = false;
    this.#keys.drop();
  }

  /** Whether a line is being written at the moment. */
  get isAsking(): boolean {
    return this.#asking !== undefined;
  }

  /** The terminal for a program that has it to itself meanwhile. */
  lend(local: LocalTerminal): LocalTerminal {
    return {
      ...local,
      listen: (take) => this.#keys.lend(take),
      enterRaw: () => {
        using stack = new DisposableStack();
        stack.use(this.#keys.relax());
        stack.use(local.enterRaw());
        return stack.move();
      },
    };
  }

  /** Leaves the terminal as it was. */
  [Symbol.dispose](): void {
    this.stop();
    this.#keys[Symbol.dispose]();
  }

  /** Whoever waits for a line gets the end. */
  stop(): void {
    this.#close?.();
  }

  #read({ prompt, history, complete }: Question): Promise<Answer> {
    const canvas = openCanvas(this.#terminal, this.#sink);
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const input = this.#keys.createStream();
    const asking: Interface = createInterface({
      input,
      output: canvas.stream,
      terminal: true,
      prompt,
      history: history.toReversed(),
      historySize: history.length + 1,
      ...(complete && { completer: toCompleter(complete, () => this.#asking === asking) }),
    });
    this.#asking = asking;
    const lines: string[] = [];
    let isOurs = false;
    const settle = () => {
      this.#keys.stop();
      canvas[Symbol.dispose]();
      this.#asking = undefined;
      const line = reason === "line" ? lines.shift() : undefined;
      this.#waiting.push(...lines.splice(0));
      this.#begun = reason === undefined ? "" : asking.line;
      this.#isEnded = reason !== undefined && !isOurs;
      resolve(
        line === undefined ? { type: reason === undefined ? "end" : "interrupted" } : { type: "line", line },
      );
    };
    const close = () => {
      if (this.#asking !== asking) return;
      isOurs = true;
      asking.close();
    };
    let reason: "line" | "interrupted" | undefined;
    /** Not at once: what came in one go with this key belongs to the next question. */
    const finish = (why: "line" | "interrupted") => {
      if (reason === undefined) turn().then(close);
      reason = why;
    };
    asking.on("line", (line) => {
      lines.push(line);
      finish(reason ?? "line");
    });
    asking.on("SIGINT", () => {
      asking.write(null, { ctrl: true, name: "e" }); // what is below the cursor stays readable
      canvas.stream.write("^C\n");
      Object.assign(asking, { line: "", cursor: 0 }); // without showing a prompt that nobody is to type at
      lines.length = 0;
      finish("interrupted");
    });
    asking.on("SIGTSTP", () => {}); // the terminal would be left as it is for whoever is there then
    asking.on("close", settle);
    this.#close = close;
    asking.prompt();
    if (this.#begun !== "") asking.write(this.#begun);
    this.#begun = "";
    this.#keys.read({
      press: (keys) => input.emit("data", keys),
      paste: (text) => asking.write(text),
      end: () => input.emit("end"),
    });
    return promise;
  }
}

/** Completing never fails: there is nothing to complete then. What comes too late, behind the line, is dropped. */
function toCompleter(complete: NonNullable<Question["complete"]>, isOpen: () => boolean) {
  return (before: string, done: (error: null, result: [string[], string]) => void) => {
    const finish = (result: [string[], string]) => isOpen() && done(null, result);
    complete(before).then(finish, () => finish([[], before]));
  };
}
