import { after } from "../../lib/abort.ts";

/** Milliseconds for which what repeats itself is counted. */
const WINDOW = 60_000;
/** Kinds of refusals that are told apart at a time; those beyond are counted together. */
const MAX_KINDS = 1_024;

/** Somebody who was turned away. */
export interface Refusal {
  readonly source: string;
  /** The code of the error. */
  readonly outcome: string;
  /** What was refused, and why. */
  readonly message: string;
  /** If he was known. */
  readonly user?: string | undefined;
}

export interface RefusalsOptions {
  readonly note: (fields: Readonly<Record<string, unknown>>) => void;
  /** Milliseconds (default: a minute). */
  readonly window?: number;
}

/** Refusals of one kind from one source: the first is taken down at once, the others of that minute by their number. */
export class Refusals implements Disposable {
  readonly #note: RefusalsOptions["note"];
  readonly #window: number;
  readonly #repeated = new Map<string, { readonly refusal: Refusal; count: number }>();
  #timer: Disposable | undefined;

  constructor({ note, window = WINDOW }: RefusalsOptions) {
    this.#note = note;
    this.#window = window;
  }

  add(refusal: Refusal): void {
    const isRoom = this.#repeated.size < MAX_KINDS;
    const key = JSON.stringify([refusal.source, refusal.outcome, refusal.user]);
    const known = this.#repeated.get(isRoom || this.#repeated.has(key) ? key : OTHERS);
    if (known !== undefined) return void known.count++;
    if (isRoom) this.#repeated.set(key, { refusal, count: 0 });
    else this.#repeated.set(OTHERS, { refusal: { ...refusal, source: "others" }, count: 1 });
    if (isRoom) this.#note({ ...refusal });
    this.#timer ??= after(this.#window, () => this.#conclude());
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#conclude();
  }

  #conclude(): void {
    this.#timer = undefined;
    for (const { refusal, count } of this.#repeated.values())
      if (count > 0) this.#note({ ...refusal, repeated: count });
    this.#repeated.clear();
  }
}

/** What no source is called. */
const OTHERS = "others";
