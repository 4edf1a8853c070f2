import type { Input } from "../client/input.ts";
import { Mailbox } from "../lib/mailbox.ts";
import { DEFAULT_ESCAPE, type EscapeCommand, EscapeKeys, isLeaving } from "./escape-keys.ts";
import type { LocalTerminal } from "./raw-mode.ts";

/** Bytes typed that may wait for the server: with more than this, keys are read only as it takes them. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

export interface TypingOptions {
  readonly local: LocalTerminal;
  /** The byte with which commands to us begin; undefined for none. */
  readonly escape: number | undefined;
  readonly obey: (command: EscapeCommand) => void;
}

/** The keys' way to a job, until disposed. */
export interface Typing extends Disposable {
  /** Resolves when all that was typed before the disposal is on its way, or nobody takes it any more. */
  readonly sent: Promise<void>;
}

/**
 * Sends what is typed to a job, byte for byte. Keys are read also while none can be sent, so that there is always a way out;
 * to a job that takes no input there is nothing else, and that way is there even if it was not wanted.
 */
export function startTyping(input: Input | undefined, { local, escape, obey }: TypingOptions): Typing {
  const keys = new EscapeKeys(input === undefined ? (escape ?? DEFAULT_ESCAPE) : escape);
  const waiting = new Mailbox<Uint8Array>();
  let [bytes, isTaken] = [0, input !== undefined];
  const keyboard = local.listen((chunk) => {
    for (const typed of keys.read(chunk)) {
      if (typeof typed === "string") {
        obey(typed);
        if (isLeaving(typed)) break; // what comes behind it was not typed to the job
      } else if (isTaken) {
        bytes += typed.length;
        waiting.push(typed.slice());
      }
    }
    if (isTaken && bytes > MAX_WAITING_BYTES) keyboard.pause();
  });
  const send = async () => {
    for await (const typed of waiting) {
      if (!(await input?.write(typed))) return;
      bytes -= typed.length;
      if (bytes <= MAX_WAITING_BYTES) keyboard.resume();
    }
  };
  const sent = send()
    .catch(() => {}) // the session has ended, of which whoever reads its output is told
    .finally(() => {
      isTaken = false;
      keyboard.resume();
    });
  return {
    sent,
    [Symbol.dispose]() {
      keyboard[Symbol.dispose]();
      waiting.close();
    },
  };
}
