import type * as v from "valibot";
import { AppError, type ErrorBody, toErrorBody } from "../protocol/error.ts";
import type { Packet } from "../protocol/packet.ts";
import { toValue } from "../protocol/value.ts";
import { ClientError, isAnswer, toClientError } from "./client-error.ts";
import { feed, type Source } from "./feed.ts";
import type { Input } from "./input.ts";
import { toEvent, toResult } from "./invoke.ts";
import { sendOrThrow } from "./job-reading.ts";
import type { Ending, Reading } from "./reading.ts";
import type { OpenCall, Session } from "./session.ts";

type Stamped<T> = Pick<Packet, "number" | "at"> & T;

/** What a foreground call says: events, bytes, and its result at last. */
export type CallPacket<Event, Result> =
  | Stamped<{ readonly type: "value"; readonly value: Event }>
  | Stamped<{ readonly type: "stdout" | "stderr"; readonly bytes: Uint8Array }>
  | { readonly type: "result"; readonly value: Result };

/** How a foreground call ended. */
export type CallOutcome<Result> =
  | { readonly type: "returned"; readonly value: Result }
  | { readonly type: "threw"; readonly error: ErrorBody };

/** What is to be known of a foreground command to call it. */
export interface Callable<Event, Result> {
  readonly name: string;
  readonly idempotent: boolean;
  readonly takesInput?: boolean;
  /** Whether it is somebody's own, whose input may be what JSON has not. */
  readonly isCustom?: boolean;
  readonly event?: v.GenericSchema<unknown, Event> | undefined;
  readonly result: v.GenericSchema<unknown, Result>;
  /** What is made of its result before anybody sees it. */
  readonly complete?: (session: Session, result: Result, signal: AbortSignal) => Promise<Result>;
}

/** A foreground call under way, and what comes of it. */
export class CallReading<Event, Result> implements Reading<
  CallPacket<Event, Result>,
  CallOutcome<Result>,
  undefined
> {
  readonly id = Bun.randomUUIDv7();
  readonly job = undefined;
  readonly number = undefined;
  readonly name: string;
  readonly packets: AsyncGenerator<CallPacket<Event, Result>, Ending<CallOutcome<Result>>, void>;
  readonly #session: Session;
  readonly #command: Callable<Event, Result>;
  readonly #stop = new AbortController();
  readonly #call: OpenCall;
  #ending: Ending<CallOutcome<Result>> | undefined;

  /** `stdin`: the bytes that it takes besides its input; true for those that will be sent. Throws what hinders the call. */
  constructor(
    session: Session,
    command: Callable<Event, Result>,
    { input, stdin }: { readonly input: unknown; readonly stdin?: Source | true | undefined },
  ) {
    const { name, idempotent, takesInput = false, isCustom = false, event } = command;
    this.#session = session;
    this.#command = command;
    this.name = `"${name}"`;
    this.#call = session.open(name, input, {
      signal: this.#stop.signal,
      isIdempotent: idempotent && !takesInput, // what a source gave cannot be asked for again
      says: event !== undefined,
      takes: takesInput,
      ...(isCustom && { encode: toValue }),
    });
    if (this.#call.input !== undefined && stdin !== true) this.#startFeeding(this.#call.input, stdin ?? "");
    this.packets = this.#read();
  }

  get ending(): Ending<CallOutcome<Result>> | undefined {
    return this.#ending;
  }

  consumed(packet: CallPacket<Event, Result>): void {
    if (packet.type !== "result") this.#call.output?.consumed(packet);
  }

  close(): void {
    this.#stop.abort(new ClientError("cancelled", `Nobody listens to ${this.name} any more`));
  }

  async send(bytes: Uint8Array, end: boolean): Promise<void> {
    const { input } = this.#call;
    if (input === undefined) {
      throw new AppError("input_closed", `Cannot send input to ${this.name}: it takes none`);
    }
    await sendOrThrow(input, bytes, this.name);
    if (end) input.end();
  }

  /** Cancels the call, which answers so. */
  async kill(): Promise<undefined> {
    this.#stop.abort(new AppError("cancelled", `The call of ${this.name} was cancelled`));
  }

  /** Feeds on its own. A source that fails must not pass for one that ended. */
  #startFeeding(input: Input, source: Source): void {
    feed(input, source).catch((error: unknown) => this.#stop.abort(toClientError(error)));
  }

  async *#read(): AsyncGenerator<CallPacket<Event, Result>, Ending<CallOutcome<Result>>, void> {
    const { output, answer } = this.#call;
    try {
      for await (const packet of this.#readOutput()) yield* this.#toSaid(packet);
      const result = toResult(this.#command, await answer);
      const value = (await this.#command.complete?.(this.#session, result, this.#stop.signal)) ?? result;
      this.#ending = { outcome: { type: "returned", value }, error: undefined, failure: undefined };
      yield { type: "result", value };
      return this.#ending;
    } catch (error) {
      if (!isAnswer(error, this.#session)) throw error;
      return { outcome: { type: "threw", error: toErrorBody(error) }, error, failure: error };
    } finally {
      output?.close();
    }
  }

  /** That it cannot be read on is no answer, unless the call was given up for that. */
  async *#readOutput(): AsyncGenerator<Packet, void, void> {
    try {
      yield* this.#call.output ?? [];
    } catch (error) {
      throw this.#stop.signal.aborted ? error : toClientError(error);
    }
  }

  *#toSaid(packet: Packet): Generator<CallPacket<Event, Result>, void, void> {
    const { name, event } = this.#command;
    if (packet.type === "stdout" || packet.type === "stderr") yield { ...packet, type: packet.type };
    else if (packet.type === "value" && event !== undefined)
      yield { ...packet, value: toEvent({ name, event }, packet) };
    else this.#call.output?.consumed(packet);
  }
}
