import type { TerminalSize } from "../protocol/terminal.ts";
import { complain, type Context } from "./context.ts";
import { Mute } from "./mute.ts";
import { renderPlain, type Renderer } from "./render.ts";

/** Shows on our own terminal what a program writes to that of its job: we look on, and answer nothing. */
export class Onlooker {
  readonly #mute = new Mute();
  readonly #context: Context;
  readonly #job: number;
  readonly #first: TerminalSize;
  #size: TerminalSize;

  /** `size`: of the job's terminal at the beginning. */
  constructor(context: Context, job: number, size: TerminalSize) {
    this.#context = context;
    this.#job = job;
    this.#first = this.#size = size;
    this.#compare("has");
  }

  readonly render: Renderer = (packet) => {
    if (packet.type === "resize") this.#size = packet;
    return renderPlain(packet).map(({ stream, bytes }) => ({
      stream,
      bytes: typeof bytes === "string" ? bytes : this.#mute.pass(bytes),
    }));
  };

  /** Leaves our terminal as it was, however far the program had come. */
  leave(): void {
    this.#context.sinks.stdout.write(this.#mute.restore());
    const { columns, rows } = this.#size;
    if (columns !== this.#first.columns || rows !== this.#first.rows) this.#compare("got");
  }

  /** What does not fit is shown wrongly: programs count on the size that they were told. */
  #compare(verb: "has" | "got"): void {
    const own = this.#context.screen();
    const { columns, rows } = this.#size;
    if (own === undefined || (own.columns === columns && own.rows === rows)) return;
    complain(
      this.#context,
      `The terminal of job ${this.#job} ${verb} ${columns} × ${rows} characters, this one has ${own.columns} × ${own.rows}`,
    );
  }
}
