import { delay, turn } from "../../lib/abort.ts";
import type { OutputPipe } from "../../process/pipe.ts";

/** Bytes of what one call prints that are kept; of more only the number is. And bytes of one line. */
const MAX_KEPT = 64 * 1024;
const MAX_LINE = 4 * 1024;
/** Milliseconds between two reads of what is not kept. */
const PAUSE = 20;
/** Milliseconds in which the last of it is to be read. */
const PATIENCE = 1_000;

/** What a runner's modules print: the server's log has it, line by line, as long as it is not too much. */
export class Printed {
  readonly #pipe: OutputPipe;
  readonly #write: (name: string, line: string) => void;
  readonly #decoder = new TextDecoder();
  #name = "";
  #line = "";
  #kept = 0;
  #dropped = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(pipe: OutputPipe, write: (name: string, line: string) => void) {
    this.#pipe = pipe;
    this.#write = write;
  }

  /** What follows is printed by this command. */
  begin(name: string): void {
    this.#conclude();
    [this.#name, this.#kept] = [name, 0];
  }

  /** Reads by itself, until the pipe is closed. It keeps nothing and nobody waiting, except whoever floods. */
  startReading(): void {
    const read = async () => {
      const patient = new AbortController().signal;
      for (let chunk = await this.#pipe.read(); chunk !== undefined; chunk = await this.#pipe.read()) {
        this.#take(chunk);
        await (this.#dropped > 0 ? delay(PAUSE, patient) : turn());
      }
      this.#conclude();
    };
    this.#reading = read().catch(() => {}); // a pipe that fails says no more
  }

  /** Resolves when all is taken that was printed by now, and closed the pipe. */
  async close(): Promise<void> {
    await this.#pipe.caughtUp(AbortSignal.timeout(PATIENCE)).catch(() => {}); // then there is less of it
    await this.#pipe.close();
    await this.#reading;
  }

  #take(chunk: Uint8Array): void {
    const room = Math.max(0, MAX_KEPT - this.#kept);
    const kept = chunk.subarray(0, room);
    this.#kept += kept.length;
    this.#dropped += chunk.length - kept.length;
    const lines = (this.#line + this.#decoder.decode(kept, { stream: true })).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) this.#say(line);
    if (this.#line.length > MAX_LINE) this.#flush();
  }

  #conclude(): void {
    this.#flush();
    if (this.#dropped > 0) this.#write(this.#name, `… and ${this.#dropped} bytes more`);
    this.#dropped = 0;
  }

  #flush(): void {
    if (this.#line !== "") this.#say(this.#line);
    this.#line = "";
  }

  #say(line: string): void {
    for (let start = 0; start === 0 || start < line.length; start += MAX_LINE)
      this.#write(this.#name, line.slice(start, start + MAX_LINE));
  }
}
