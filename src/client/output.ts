import { after } from "../lib/abort.ts";
import { Mailbox } from "../lib/mailbox.ts";
import type { From } from "../protocol/control.ts";
import { ReceiveCredit } from "../protocol/credit.ts";
import { AppError } from "../protocol/error.ts";
import { CREDIT_DELAY, OUTPUT_WINDOW_BYTES } from "../protocol/limits.ts";
import {
  decodeRecords,
  type Packet,
  type RawRecord,
  RECORD_HEADER_BYTES,
  toPacket,
} from "../protocol/packet.ts";
import type { Link } from "./link.ts";
import { type Missing, Tally } from "./tally.ts";

/** A packet on its way to the consumer: its bytes on the wire, and the packet wanted once it is consumed. */
interface Delivery {
  readonly bytes: number;
  readonly next: number;
  consumed: boolean;
}

/**
 * The receiving half of a channel: a job's packets in order, checked against their numbers and counts. It holds at most
 * the window that it granted; more is granted as packets are reported consumed, which also moves the job's hold.
 */
export class Output implements AsyncIterable<Packet> {
  readonly #link: Link;
  readonly #channel: number;
  readonly #forget: () => void;
  readonly #credit = new ReceiveCredit(OUTPUT_WINDOW_BYTES);
  readonly #packets = new Mailbox<Packet>();
  readonly #deliveries = new Map<number, Delivery>();
  readonly #tally: Tally;
  #next: number | undefined;
  #isOpen = true;
  /** The job's last packet came, so that the server closes the channel by itself. */
  #isWhole = false;
  #delayed: Disposable | undefined;

  /** `forget`: takes the channel off its session's list. */
  constructor(link: Link, channel: number, from: From, forget: () => void) {
    this.#link = link;
    this.#channel = channel;
    this.#forget = forget;
    this.#next = from.type === "since" ? from.number : undefined;
    this.#tally = new Tally(this.#next);
  }

  /** The credit that the request to open the channel carries. */
  takeFirstLimit(): number {
    return this.#credit.take().limit;
  }

  /** The first packet that is not yet consumed: where another reader would go on. Undefined if none came of the last few. */
  get next(): number | undefined {
    return this.#next;
  }

  /** What gaps have swallowed so far. */
  get missing(): Missing | undefined {
    return this.#tally.missing;
  }

  /** Gives packets as they come, until the job's last one; each must be reported `consumed`. */
  [Symbol.asyncIterator](): AsyncGenerator<Packet, void, void> {
    return this.#packets[Symbol.asyncIterator]();
  }

  /** The packet is where it should go (written, counted): the job may run on. Any order will do. */
  consumed({ number }: Packet): void {
    this.#consume(number);
    this.#offer();
  }

  /** Nobody reads this stream any more, or none of them: a program that writes to it gets SIGPIPE. */
  discard(stream?: "stdout" | "stderr"): void {
    if (!this.#isOpen) return;
    this.#link.send({ type: "discard", channel: this.#channel, ...(stream !== undefined && { stream }) });
  }

  /** Reads no more, which releases the job if this was its holder. With an error, whoever reads still is told. */
  close(error?: Error): void {
    if (!this.#isOpen) return;
    if (!this.#isWhole) this.#link.send({ type: "close", channel: this.#channel });
    this.#finish();
    if (error === undefined) this.#packets.close();
    else this.#packets.fail(error);
  }

  /** Data came. Throws `protocol_error`. */
  arrived(position: number, bytes: Uint8Array): void {
    this.#credit.arrive(position, bytes.length);
    for (const record of decodeRecords(bytes)) this.#deliver(record);
    this.#offer();
  }

  /** The server has sent everything. Throws `protocol_error` if it has not. */
  ended(position: number): void {
    if (position !== this.#credit.arrived) {
      throw new AppError(
        "protocol_error",
        `Cannot accept the end of a channel at ${position}: ${this.#credit.arrived} bytes came`,
      );
    }
    this.#finish();
    this.#packets.close();
  }

  /** The channel failed, or its connection. */
  failed(error: AppError): void {
    this.#finish();
    this.#packets.fail(error);
  }

  #deliver(record: RawRecord): void {
    const packet = toPacket(record);
    this.#isWhole = packet?.type === "closed";
    if (packet === undefined) this.#tally.skip(record.number);
    else this.#tally.add(packet);
    this.#next ??= record.number;
    this.#deliveries.set(record.number, {
      bytes: RECORD_HEADER_BYTES + record.payload.length,
      next: this.#tally.next ?? record.number + 1,
      consumed: false,
    });
    if (packet === undefined) this.#consume(record.number);
    else this.#packets.push(packet);
  }

  #consume(number: number): void {
    const delivery = this.#deliveries.get(number);
    if (delivery === undefined || delivery.consumed) return;
    delivery.consumed = true;
    this.#credit.consume(delivery.bytes);
    for (const [first, { consumed, next }] of this.#deliveries) {
      if (!consumed) break;
      this.#deliveries.delete(first);
      this.#next = next;
    }
  }

  /** Grants what is consumed, soon or at once; of a job that is over nobody needs to know. */
  #offer(): void {
    if (!this.#isOpen || this.#isWhole || this.#credit.ungranted === 0) return;
    if (this.#credit.isDue) return this.#grant();
    this.#delayed ??= after(CREDIT_DELAY, () => this.#grant());
  }

  #grant(): void {
    this.#delayed?.[Symbol.dispose]();
    this.#delayed = undefined;
    this.#link.grant({
      channel: this.#channel,
      ...this.#credit.take(),
      ...(this.#next !== undefined && { next: this.#next }),
    });
  }

  #finish(): void {
    this.#isOpen = false;
    this.#delayed?.[Symbol.dispose]();
    this.#forget();
  }
}
