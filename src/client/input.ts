import { Bell } from "../lib/bell.ts";
import type { ClientMessage } from "../protocol/control.ts";
import type { CreditCounts } from "../protocol/credit.ts";
import { DATA_HEADER_BYTES, writeDataHeader } from "../protocol/data.ts";
import { AppError } from "../protocol/error.ts";
import type { JobId, WriterId } from "../protocol/id.ts";
import { MAX_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { Link } from "./link.ts";

/** Whose input it is: a job's, and which of its streams, or a foreground call's. */
export type InputTarget =
  | { readonly type: "job"; readonly job: JobId; readonly writer: WriterId }
  | { readonly type: "call"; readonly call: number };

export interface InputOptions {
  readonly link: Link;
  /** Takes a channel off its session's list. */
  readonly forget: (channel: number) => void;
}

/**
 * The sending half of a stream of input, never more than the server granted. Bytes are addressed by their offset in the
 * stream and kept until the server holds them, so that another channel can go on where the last one ended.
 */
export class Input {
  readonly #options: InputOptions;
  readonly #bell = new Bell();
  readonly #closed = new AbortController();
  /** What was written and is not yet held by the server, in order; it begins at `#held`. */
  #kept: Uint8Array[] = [];
  /** Offsets: what the server holds, what was sent, what was written, and how far may be sent. */
  #held = 0;
  #sent = 0;
  #written = 0;
  #limit = 0;
  #channel = 0;
  #target: InputTarget | undefined;
  /** Whether the server has said where this channel begins. */
  #started = false;
  #ended = false;

  constructor(options: InputOptions) {
    this.#options = options;
  }

  /** Aborted when nobody takes input any more, whatever the reason. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** The offset up to which bytes were sent over the channel that it has. */
  get sent(): number {
    return this.#sent;
  }

  /** Bytes sent that the server does not hold yet, as far as it has said. */
  get inFlight(): number {
    return this.#started ? Math.max(0, this.#sent - this.#held) : 0;
  }

  /** Waits until something may be sent. False: nobody takes input any more. */
  async ready(): Promise<boolean> {
    while (!this.#mayWrite && !this.closed.aborted) await this.#bell.wait();
    return !this.closed.aborted;
  }

  /** Sends all of `bytes`, at the pace at which they are taken. False: nobody takes input any more. */
  async write(bytes: Uint8Array): Promise<boolean> {
    for (let rest = bytes; rest.length > 0;) {
      if (!(await this.ready())) return false;
      const room = this.#written < this.#held ? this.#held - this.#written : this.#limit - this.#written;
      const part = rest.subarray(0, Math.min(room, MAX_PAYLOAD_BYTES));
      this.#keep(part);
      this.#sendKept();
      rest = rest.subarray(part.length);
    }
    return !this.closed.aborted;
  }

  /** No more will come: takes effect at the far end once it has everything before. */
  end(): void {
    if (this.closed.aborted || this.#ended) return;
    this.#ended = true;
    this.#sendEnd();
  }

  /** The connection is gone, and the channel with it. */
  suspend(): void {
    this.#started = false;
  }

  /** Begins over this channel, or goes on over it, from what the server will say to hold. */
  open(channel: number, target = this.#target): void {
    if (target === undefined) return;
    this.#target = target;
    this.#channel = channel;
    this.#options.link.send(toRequest(channel, target));
    if (this.#ended) this.#sendEnd();
  }

  /** Credit came. Answers whether the server holds more than was known. Throws `protocol_error`. */
  granted({ received, limit }: CreditCounts): boolean {
    const before = this.#held;
    if (!this.#started) this.#start(received);
    if (received > Math.max(this.#sent, this.#held)) {
      throw new AppError(
        "protocol_error",
        `Cannot accept credit: ${received} bytes received, only ${this.#sent} were sent`,
      );
    }
    this.#forgetTo(received);
    this.#limit = Math.max(this.#limit, limit);
    this.#sendKept();
    this.#bell.ring();
    return this.#held > before;
  }

  /** The other side takes no more, since it has everything or nobody reads it, or is gone. */
  close(): void {
    this.#options.forget(this.#channel);
    this.#closed.abort();
    this.#kept = [];
    this.#bell.ring();
  }

  get #mayWrite(): boolean {
    return this.#started && this.#sent >= this.#written && this.#limit > this.#written;
  }

  /** The server says what it holds of this stream: more than we wrote, if it was written before by somebody like us. */
  #start(received: number): void {
    if (received < this.#held) {
      throw new AppError(
        "protocol_error",
        `Cannot go on with input at ${received}: the server held ${this.#held} bytes before`,
      );
    }
    this.#started = true;
    this.#forgetTo(received);
    this.#sent = received;
    this.#limit = 0;
  }

  #keep(bytes: Uint8Array): void {
    const begin = this.#written;
    this.#written += bytes.length;
    if (this.#written > this.#held)
      this.#kept.push(new Uint8Array(bytes.subarray(Math.max(0, this.#held - begin))));
  }

  /** Drops what the server holds. */
  #forgetTo(offset: number): void {
    if (offset <= this.#held) return;
    let left = Math.min(offset, this.#written) - this.#held;
    this.#held = offset;
    while (left > 0 && this.#kept[0] !== undefined) {
      const [first] = this.#kept;
      if (first.length > left) this.#kept[0] = first.subarray(left);
      else this.#kept.shift();
      left -= Math.min(left, first.length);
    }
  }

  /** Sends what is kept and was not sent over this channel, as far as credit goes. */
  #sendKept(): void {
    if (!this.#started) return;
    let offset = this.#held;
    for (const bytes of this.#kept) {
      const end = Math.min(offset + bytes.length, this.#limit);
      if (this.#sent < end) this.#send(bytes.subarray(this.#sent - offset, end - offset));
      offset += bytes.length;
    }
  }

  #send(bytes: Uint8Array): void {
    const frame = new Uint8Array(DATA_HEADER_BYTES + bytes.length);
    writeDataHeader(frame, this.#channel, this.#sent);
    frame.set(bytes, DATA_HEADER_BYTES);
    this.#sent += bytes.length;
    this.#options.link.sendData(frame);
  }

  #sendEnd(): void {
    if (this.#target === undefined) return; // it is said when the channel is opened
    this.#options.link.send({ type: "end", channel: this.#channel, position: this.#written });
  }
}

function toRequest(channel: number, target: InputTarget): ClientMessage {
  if (target.type === "call") return { type: "open_call_input", channel, call: target.call };
  return { type: "open_input", channel, job: target.job, writer: target.writer };
}
