import { after } from "../lib/abort.ts";
import { Bell } from "../lib/bell.ts";
import { type ClientFrame, type ClientMessage, decodeControl, ServerFrame } from "../protocol/control.ts";
import { ACK_DELAY, ACK_EVERY_FRAMES } from "../protocol/limits.ts";
import { Inbox, Outbox } from "../protocol/reliable.ts";
import type { Peer } from "./transport.ts";

type Credit = Extract<ClientFrame, { readonly type: "credit" }>;

/**
 * Both directions of a session's control over one connection after another: numbers what is sent, acknowledges what is
 * received, drops repetitions, and holds back what a full window, or no connection, has no room for.
 */
export class Link implements Disposable {
  #peer: Peer | undefined;
  #outbox = new Outbox<ClientMessage>();
  #inbox = new Inbox();
  /** What waits for room in the window, and credit for channels that are opened in there. */
  #held: (ClientMessage | Credit)[] = [];
  #acknowledgement: Disposable | undefined;
  /** Rings when something was acknowledged. */
  readonly #progress = new Bell();

  /** The highest sequence number used. */
  get sent(): number {
    return this.#outbox.last;
  }

  /** The highest sequence number received in order. */
  get received(): number {
    return this.#inbox.received;
  }

  /** Speaks over this peer in a new session, and answers what was never sent in the last one, which is forgotten. */
  open(peer: Peer): readonly ClientMessage[] {
    const unsent = this.#held.filter((frame) => frame.type !== "credit");
    this.#outbox = new Outbox();
    this.#inbox = new Inbox();
    this.#held = [];
    this.#peer = peer;
    this.#progress.ring();
    return unsent;
  }

  /**
   * Goes on over this peer in the same session: what the server has not received is sent again, before what was held. The
   * acknowledgement with which it begins proves that we were welcomed. Answers the channels that are opened by that.
   * Throws `protocol_error`.
   */
  resume(peer: Peer, received: number): ReadonlySet<number> {
    this.#outbox.acknowledge(received);
    const opened = toOpened([...this.#outbox.unacknowledged(), ...this.#held]);
    this.#peer = peer;
    this.#sendAck();
    for (const frame of this.#outbox.unacknowledged()) this.#write(frame);
    this.#flush();
    return opened;
  }

  /** The connection is gone. Credit that was not sent is for channels that are gone too. */
  lose(): void {
    this.#peer = undefined;
    this[Symbol.dispose]();
    this.#held = this.#held.filter((frame) => frame.type !== "credit");
  }

  /** Sends a sequenced frame, at once or as soon as there is room in the window, and a connection. */
  send(message: ClientMessage): void {
    this.#held.push(message);
    this.#flush();
  }

  /** Sends credit, after the frames that still wait: one of them may open its channel. */
  grant(credit: Omit<Credit, "type">): void {
    this.#held.push({ type: "credit", ...credit });
    this.#flush();
  }

  sendData(frame: Uint8Array<ArrayBuffer>): void {
    this.#peer?.send(frame);
  }

  /** Reads one control frame; undefined if there is nothing new in it. Throws what closes the connection. */
  receive(text: string): ServerFrame | undefined {
    const frame = decodeControl(ServerFrame, text);
    if ("ack" in frame && frame.ack !== undefined) this.#acknowledged(frame.ack);
    if (frame.type === "beat" && frame.sent !== undefined) this.#inbox.expect(frame.sent);
    if (!("seq" in frame)) return frame;
    const isNew = this.#inbox.accept(frame.seq);
    this.#acknowledge();
    return isNew ? frame : undefined;
  }

  [Symbol.dispose](): void {
    this.#acknowledgement?.[Symbol.dispose]();
    this.#acknowledgement = undefined;
  }

  /** Resolves once the server has received everything that was sent. */
  async delivered(): Promise<void> {
    while (this.#held.length > 0 || this.#outbox.unacknowledged().length > 0) await this.#progress.wait();
  }

  #acknowledged(seq: number): void {
    this.#outbox.acknowledge(seq);
    this.#flush();
    this.#progress.ring();
  }

  #flush(): void {
    for (let frame = this.#held[0]; frame !== undefined; frame = this.#held[0]) {
      if (this.#peer === undefined || (frame.type !== "credit" && this.#outbox.isFull)) return;
      this.#held.shift();
      this.#write(frame.type === "credit" ? frame : this.#stamp(frame));
    }
  }

  #stamp(message: ClientMessage): object {
    const frame = this.#outbox.stamp(message);
    return this.#inbox.owed > 0 ? { ...frame, ack: this.#takeAck() } : frame;
  }

  /** At once when much is owed; otherwise soon, unless a frame comes by that takes it along. */
  #acknowledge(): void {
    if (this.#inbox.owed >= ACK_EVERY_FRAMES) return this.#sendAck();
    this.#acknowledgement ??= after(ACK_DELAY, () => this.#sendAck());
  }

  #sendAck(): void {
    this.#write({ type: "ack", ack: this.#takeAck() });
  }

  #takeAck(): number {
    this[Symbol.dispose]();
    return this.#inbox.takeAck();
  }

  #write(frame: object): void {
    this.#peer?.send(JSON.stringify(frame));
  }
}

/** The channels that are opened by themselves, or by a foreground call, and not by the call for their job. */
function toOpened(frames: readonly (ClientMessage | Credit)[]): ReadonlySet<number> {
  return new Set(frames.flatMap((frame) => findOpened(frame) ?? []));
}

function findOpened(frame: ClientMessage | Credit): number | undefined {
  switch (frame.type) {
    case "open_output":
    case "open_input":
    case "open_events":
    case "open_call_input":
      return frame.channel;
    case "call":
      return frame.events?.channel;
    default:
      return undefined;
  }
}
