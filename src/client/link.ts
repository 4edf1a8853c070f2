import { after } from "../lib/abort.ts";
import { type ClientFrame, type ClientMessage, decodeControl, ServerFrame } from "../protocol/control.ts";
import { ACK_DELAY, ACK_EVERY_FRAMES } from "../protocol/limits.ts";
import { Inbox, Outbox } from "../protocol/reliable.ts";

/** Where frames go: a WebSocket, or in tests whatever stands for one. */
export interface Peer {
  send(frame: string | Uint8Array<ArrayBuffer>): void;
  close(code: number, reason: string): void;
}

type Credit = Extract<ClientFrame, { readonly type: "credit" }>;
type Bare = Extract<ClientFrame, { readonly type: "hello" | "beat" | "goodbye" }>;

/**
 * Both directions of control over one peer: numbers what is sent, acknowledges what is received, drops repetitions,
 * holds back what a full window has no room for, and knows when each side was last heard of.
 */
export class Link implements Disposable {
  readonly #peer: Peer;
  readonly #now: () => number;
  readonly #outbox = new Outbox<ClientMessage>();
  readonly #inbox = new Inbox();
  /** What waits for room in the window, and credit for channels that are opened in there. */
  readonly #held: (ClientMessage | Credit)[] = [];
  #acknowledgement: Disposable | undefined;
  #sentAt: number;
  #receivedAt: number;

  /** `now`: milliseconds of a monotonic clock. */
  constructor(peer: Peer, now: () => number) {
    this.#peer = peer;
    this.#now = now;
    this.#sentAt = this.#receivedAt = now();
  }

  /** Milliseconds for which nothing was sent. */
  get idle(): number {
    return this.#now() - this.#sentAt;
  }

  /** Milliseconds for which nothing was received. */
  get silence(): number {
    return this.#now() - this.#receivedAt;
  }

  /** Sends a sequenced frame, at once or as soon as the window has room. */
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
    this.#sentAt = this.#now();
    this.#peer.send(frame);
  }

  /** Sends a frame that has no number, ahead of everything that waits. */
  say(frame: Bare): void {
    this.#write(frame);
  }

  /** Anything was received, whatever it is. */
  heard(): void {
    this.#receivedAt = this.#now();
  }

  /** Reads one control frame; undefined if there is nothing new in it. Throws what closes the connection. */
  receive(text: string): ServerFrame | undefined {
    const frame = decodeControl(ServerFrame, text);
    if ("ack" in frame && frame.ack !== undefined) this.#acknowledged(frame.ack);
    if (!("seq" in frame)) return frame;
    const isNew = this.#inbox.accept(frame.seq);
    this.#acknowledge();
    return isNew ? frame : undefined;
  }

  close(code: number, reason: string): void {
    this[Symbol.dispose]();
    this.#peer.close(code, reason);
  }

  [Symbol.dispose](): void {
    this.#acknowledgement?.[Symbol.dispose]();
  }

  #acknowledged(seq: number): void {
    this.#outbox.acknowledge(seq);
    this.#flush();
  }

  #flush(): void {
    for (let frame = this.#held[0]; frame !== undefined; frame = this.#held[0]) {
      if (frame.type !== "credit" && this.#outbox.isFull) return;
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
    this.#acknowledgement?.[Symbol.dispose]();
    this.#acknowledgement = undefined;
    return this.#inbox.takeAck();
  }

  #write(frame: object): void {
    this.#sentAt = this.#now();
    this.#peer.send(JSON.stringify(frame));
  }
}
