import { after } from "../lib/abort.ts";
import { Mailbox } from "../lib/mailbox.ts";
import type { ClientMessage, From } from "../protocol/control.ts";
import { ReceiveCredit } from "../protocol/credit.ts";
import { AppError } from "../protocol/error.ts";
import type { HolderId, JobId } from "../protocol/id.ts";
import { CREDIT_DELAY, OUTPUT_WINDOW_BYTES } from "../protocol/limits.ts";
import { decodeValue } from "../protocol/cbor/payload.ts";
import { decodeRecords, type Packet, type RawRecord, RECORD_HEADER_BYTES } from "../protocol/packet.ts";
import type { Link } from "./link.ts";
import { PacketReader } from "./packet-reader.ts";
import { type Missing, Tally } from "./tally.ts";

/** A packet on its way to the consumer: its bytes on the wire, and the packet wanted once it is consumed. */
interface Delivery {
  readonly bytes: number;
  readonly next: number;
  consumed: boolean;
}

/** Whose packets are read: a job's, which waits for this reader if that has a hold, or a foreground call's. */
export type OutputSource =
  | { readonly type: "job"; readonly job: JobId; readonly holder: HolderId | undefined }
  | { readonly type: "call"; readonly call: number };

export interface OutputOptions {
  readonly link: Link;
  readonly source: OutputSource;
  readonly from: From;
  /** Aborted: nobody reads on. */
  readonly signal?: AbortSignal | undefined;
  /** Takes a channel off its session's list. */
  readonly forget: (channel: number) => void;
}

/**
 * The receiving half of a job's output, or of what a foreground call says: packets in order, checked against their numbers and
 * counts, over one channel after another. It holds at most the window that it granted; more is granted as packets are reported
 * consumed, which also moves the job's hold.
 */
export class Output implements AsyncIterable<Packet> {
  readonly #options: OutputOptions;
  readonly #credit = new ReceiveCredit(OUTPUT_WINDOW_BYTES);
  readonly #packets = new Mailbox<Packet>();
  readonly #deliveries = new Map<number, Delivery>();
  readonly #discarded = new Set<"stdout" | "stderr" | undefined>();
  readonly #tally: Tally;
  readonly #reader = new PacketReader(() => this.#tally.values);
  #source: OutputSource;
  #channel: number;
  #next: number | undefined;
  /** The first packet wanted, where that is known beforehand. */
  readonly #first: number | undefined;
  #isOpen = true;
  /** The channel that it has is gone with its connection. */
  #isLost = false;
  /** The job's last packet came, so that the server closes the channel by itself. */
  #isWhole = false;
  /** How many packets the call has said, once it is answered by a server that tells. */
  #said: number | undefined;
  #delayed: Disposable | undefined;
  readonly #over = Promise.withResolvers<void>();
  readonly #stop = () => this.close(this.#options.signal?.reason);

  constructor(channel: number, options: OutputOptions) {
    const { from, source, signal } = options;
    this.#options = options;
    this.#channel = channel;
    this.#source = source;
    this.#tally = new Tally(from);
    this.#next = this.#first = this.#tally.next;
    signal?.addEventListener("abort", this.#stop, { once: true });
  }

  get channel(): number {
    return this.#channel;
  }

  /** Whether somebody still reads it. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether it waits for another channel. */
  get isLost(): boolean {
    return this.#isOpen && this.#isLost;
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

  /** Where the parts begin of what the job returned, if it has exited and they were before what was read. */
  get unread(): number | undefined {
    return this.#reader.unread;
  }

  /**
   * The value whose parts begin at packet `first` and are all that came since the last value, once everything has come. Throws
   * `incomplete_output` where it has not.
   */
  async readParts(first: number): Promise<unknown> {
    await this.#over.promise;
    const bytes = this.#reader.find(first);
    if (bytes !== undefined) return decodeValue(bytes);
    throw new AppError("incomplete_output", "Cannot read the result: not all of its parts came");
  }

  /** Whether a foreground call says it, which only the session knows that it was made in. */
  get isOfCall(): boolean {
    return this.#source.type === "call";
  }

  /** The job is this one: another that has the same key may have been there. */
  isOf(job: JobId): void {
    if (this.#source.type === "job") this.#source = { ...this.#source, job };
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
    this.#discarded.add(stream);
    this.#sendDiscard(stream);
  }

  /** Reads no more, which releases the job if this was its holder. With an error, whoever reads still is told. */
  close(error?: Error): void {
    if (!this.#isOpen) return;
    if (!this.#isWhole) this.#options.link.send({ type: "close", channel: this.#channel });
    this.#finish(error);
  }

  /** The connection is gone, and the channel with it. With the job's last packet nothing more is wanted. */
  suspend(): void {
    this.#undelay();
    this.#isLost = true;
    if (this.#isWhole) this.#finish();
  }

  /** Whether anything of it has come. */
  get hasBegun(): boolean {
    return this.#tally.next !== this.#first;
  }

  /** Goes on over another channel: what follows is to be read there. */
  restart(channel: number): void {
    this.#channel = channel;
    this.#isLost = false;
    this.#credit.restart();
  }

  /** The channel that it has is opened over the next connection instead. */
  revive(): void {
    this.#isLost = false;
    this.repeatCredit();
  }

  /** Asks for what has not come yet, over the channel that it has now. */
  reopen(): void {
    this.#options.link.send(this.#toRequest(this.#source));
    this.repeatDiscards();
  }

  /** Says over the channel that it has now which streams nobody reads. */
  repeatDiscards(): void {
    for (const stream of this.#discarded) this.#sendDiscard(stream);
  }

  /** Data came; false: again. Throws `protocol_error`, or `sequence_gap` when some never did. */
  arrived(position: number, bytes: Uint8Array): boolean {
    if (!this.#credit.arrive(position, bytes.length)) return false;
    this.#isLost = false;
    for (const record of decodeRecords(bytes)) if (!this.#deliver(record)) return true;
    this.#offer();
    return true;
  }

  /** Throws `sequence_gap` when so much was sent, and did not come. */
  expect(position: number): void {
    this.#credit.expect(position);
  }

  /** Says again what is granted, in case that was lost. */
  repeatCredit(): void {
    if (this.#isOpen && !this.#isWhole && !this.#isLost) this.#grant();
  }

  /** The server has sent everything. Throws `sequence_gap` if it has not come. */
  ended(position: number): void {
    if (position !== this.#credit.arrived) {
      throw new AppError(
        position > this.#credit.arrived ? "sequence_gap" : "protocol_error",
        `Cannot accept the end of a channel at ${position}: ${this.#credit.arrived} bytes came`,
      );
    }
    this.#finish();
  }

  /** The call that says this is over, and has said so many packets in all. */
  answered(packets: number | undefined): void {
    this.#said = packets;
  }

  /** What has not come by now never will, for this reason; with all that its call has said nothing is missing. */
  forsake(error: AppError): void {
    const isMissed = this.#said === undefined || this.#tally.next !== this.#said;
    this.#finish(isMissed ? error : undefined);
  }

  /** The channel failed, or its session. */
  failed(error: AppError): void {
    this.#finish(error);
  }

  #toRequest(source: OutputSource): ClientMessage {
    const wanted = this.#tally.next;
    const opened = { channel: this.#channel, limit: this.takeFirstLimit() };
    if (source.type === "call")
      return { type: "open_events", ...opened, call: source.call, since: wanted ?? 0 };
    const { job, holder } = source;
    const hold = holder === undefined || this.#next === wanted ? undefined : this.#next;
    return {
      type: "open_output",
      ...opened,
      job,
      from: wanted === undefined ? this.#options.from : { type: "since", number: wanted },
      ...(holder !== undefined && { holder }),
      ...(hold !== undefined && { hold }),
    };
  }

  /** Whether reading goes on. */
  #deliver(record: RawRecord): boolean {
    const packet = this.#reader.read(record);
    if (packet instanceof AppError) return this.#giveUp(record, packet);
    const bytes = RECORD_HEADER_BYTES + record.payload.length;
    this.#isWhole = packet?.type === "closed";
    if (packet === undefined) this.#tally.skip(record.number, record.kind === "value" ? 1 : 0);
    else this.#tally.add(packet);
    this.#next ??= record.number;
    // It says only what there was before the first packet.
    if (packet?.type === "gap" && packet.next === packet.number) {
      this.#credit.consume(bytes);
      return true;
    }
    this.#deliveries.set(record.number, {
      bytes,
      next: this.#tally.next ?? record.number + 1,
      consumed: false,
    });
    if (packet === undefined) this.#consume(record.number);
    else this.#packets.push(packet);
    return true;
  }

  /** Whoever wants to read on begins behind what cannot be read. */
  #giveUp(record: RawRecord, error: AppError): false {
    this.close(error);
    this.#tally.skip(record.number, record.kind === "value" ? 1 : 0);
    this.#deliveries.set(record.number, { bytes: 0, next: record.number + 1, consumed: false });
    this.#consume(record.number);
    return false;
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

  /** Tells what came and grants what is consumed, soon or at once; of a job that is over nobody needs to know. */
  #offer(): void {
    if (!this.#isOpen || this.#isWhole || this.#credit.untold <= 0) return;
    if (this.#credit.isDue) return this.#grant();
    this.#delayed ??= after(CREDIT_DELAY, () => this.#grant());
  }

  #grant(): void {
    this.#undelay();
    const counts = this.#credit.take();
    const next = this.#next === undefined ? {} : { next: this.#next };
    this.#options.link.grant({ channel: this.#channel, ...counts, ...next });
  }

  #sendDiscard(stream: "stdout" | "stderr" | undefined): void {
    const message = { type: "discard", channel: this.#channel } as const;
    this.#options.link.send({ ...message, ...(stream !== undefined && { stream }) });
  }

  #undelay(): void {
    this.#delayed?.[Symbol.dispose]();
    this.#delayed = undefined;
  }

  #finish(error?: Error): void {
    this.#over.resolve();
    this.#isOpen = false;
    this.#undelay();
    this.#options.signal?.removeEventListener("abort", this.#stop);
    this.#options.forget(this.#channel);
    if (error === undefined) this.#packets.close();
    else this.#packets.fail(error);
  }
}

/** What whoever reads a job's output needs of it. */
export type Readable = Pick<
  Output,
  typeof Symbol.asyncIterator | "consumed" | "discard" | "close" | "missing" | "next"
>;
