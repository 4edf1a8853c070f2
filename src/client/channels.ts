import type { From, ServerFrame } from "../protocol/control.ts";
import type { DataFrame } from "../protocol/data.ts";
import { AppError, fromErrorBody } from "../protocol/error.ts";
import { Input, type InputTarget } from "./input.ts";
import type { Link } from "./link.ts";
import { Output, type OutputSource } from "./output.ts";

/** The channels of one session, which end with each connection and are opened anew over the next. */
export class Channels {
  readonly #link: Link;
  readonly #onProgress: () => void;
  readonly #outputs = new Map<number, Output>();
  readonly #inputs = new Map<number, Input>();
  #last = 0;

  /** `onProgress`: called with all that brings a channel on. */
  constructor(link: Link, onProgress: () => void) {
    this.#link = link;
    this.#onProgress = onProgress;
  }

  /** A reader of packets, which are not asked for yet; it is closed when the signal is aborted. */
  createOutput(source: OutputSource, from: From, signal?: AbortSignal): Output {
    const forget = (channel: number) => this.#outputs.delete(channel);
    const output = new Output(++this.#last, { link: this.#link, source, from, signal, forget });
    this.#outputs.set(output.channel, output);
    return output;
  }

  /** A stream of input, which goes nowhere yet. */
  createInput(): Input {
    return new Input({ link: this.#link, forget: (channel) => this.#inputs.delete(channel) });
  }

  /** Opens a channel for a stream of input: to where it went before, unless told. */
  openInput(input: Input, target?: InputTarget): void {
    const channel = ++this.#last;
    this.#inputs.set(channel, input);
    input.open(channel, target);
  }

  /** Throws `protocol_error`, or `sequence_gap` when some never came. */
  receive({ channel, position, bytes }: DataFrame): void {
    if (this.#find(this.#outputs, channel)?.arrived(position, bytes) === true) this.#onProgress();
  }

  /** Takes a frame that is about a channel. Throws as `receive` does. */
  take(frame: Extract<ServerFrame, { readonly channel: number }>): void {
    const input = this.#find(this.#inputs, frame.channel);
    const output = this.#find(this.#outputs, frame.channel);
    if (frame.type === "credit") {
      if (input?.granted(frame) === true) this.#onProgress();
      return;
    }
    if (input !== undefined || output !== undefined) this.#onProgress();
    switch (frame.type) {
      case "discard":
        return input?.close();
      case "end":
        return output?.ended(frame.position);
      case "broken":
        input?.close();
        output?.failed(fromErrorBody(frame.error));
    }
  }

  /** Of each channel on which input is under way, what was sent. */
  positions(): [channel: number, position: number][] {
    return [...this.#inputs].flatMap(([channel, input]) =>
      input.inFlight > 0 ? [[channel, input.sent]] : [],
    );
  }

  /** Throws `sequence_gap` when so much was sent on a channel of output, and did not come. */
  expect(channel: number, position: number): void {
    this.#find(this.#outputs, channel)?.expect(position);
  }

  repeatCredit(): void {
    for (const output of this.#outputs.values()) output.repeatCredit();
  }

  /** The connection is gone, and every channel with it. */
  suspend(): void {
    for (const output of [...this.#outputs.values()]) output.suspend();
    for (const input of this.#inputs.values()) input.suspend();
  }

  /** Gives an output that is read from another channel, which the call that starts its job will open. */
  renumber(output: Output): void {
    this.#outputs.delete(output.channel);
    output.restart(++this.#last);
    this.#outputs.set(output.channel, output);
  }

  /** Reads on over another channel, from the packet that did not come. */
  reopen(output: Output): void {
    const { channel } = output;
    this.renumber(output);
    output.reopen();
    // After it, so that a hold that the old one has passes over to the new one.
    this.#link.send({ type: "close", channel });
  }

  /**
   * Goes on with everything over other channels, but for `pending` outputs, which their calls open, and for what is `opened` over
   * this connection as it was to be over an earlier one: so no more is asked for at once, however often connections break.
   */
  reopenAll(pending: ReadonlySet<Output>, opened: ReadonlySet<number>): void {
    for (const output of [...this.#outputs.values()]) {
      if (pending.has(output)) continue;
      if (opened.has(output.channel)) output.revive();
      else this.reopen(output);
    }
    for (const [channel, input] of [...this.#inputs]) {
      if (opened.has(channel)) continue;
      this.#inputs.delete(channel);
      this.openInput(input);
      this.#link.send({ type: "close", channel });
    }
  }

  /** The server knows no calls any more: what those that are not `pending` said is gone as far as it has not come. */
  failCalls(pending: ReadonlySet<Output>): void {
    for (const output of [...this.#outputs.values()]) {
      if (!output.isOfCall || pending.has(output)) continue;
      const why = "its server knows nothing of it any more";
      output.forsake(new AppError("incomplete_output", `Output of a call is incomplete: ${why}`));
    }
  }

  /** The session is over. */
  failAll(error: AppError): void {
    for (const output of [...this.#outputs.values()]) output.forsake(error);
    for (const input of [...this.#inputs.values()]) input.close();
  }

  /** A channel that is open; undefined for one that was, whose last frames may still come. */
  #find<T>(channels: ReadonlyMap<number, T>, channel: number): T | undefined {
    if (channel > this.#last) {
      throw new AppError("protocol_error", `Cannot accept a frame: channel ${channel} was never opened`);
    }
    return channels.get(channel);
  }
}
