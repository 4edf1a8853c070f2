import { AppError } from "../protocol/error.ts";
import type { CallOptions, OpenCall, Session } from "./session.ts";

/**
 * A session that goes on when this is disposed: what was opened through this, and only that, is closed then, and calls that
 * are not answered yet are cancelled.
 */
export function borrow(session: Session): Session {
  const returned = new AbortController();
  const onReturn = (close: () => void) => returned.signal.addEventListener("abort", close, { once: true });
  const open = (command: string, input: unknown, options: CallOptions): OpenCall => {
    const signal = AbortSignal.any([
      returned.signal,
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    return session.open(command, input, { ...options, signal });
  };
  const own: Partial<Session> = {
    open,
    call: (command, input, options = {}) => open(command, input, options).answer,
    startHeld(...asked) {
      const held = session.startHeld(...asked);
      onReturn(() => held.output.close());
      return held;
    },
    openOutput(...asked) {
      const output = session.openOutput(...asked);
      onReturn(() => output.close());
      return output;
    },
    openInput(...asked) {
      const input = session.openInput(...asked);
      onReturn(() => input.close());
      return input;
    },
    openStdin(...asked) {
      const input = session.openStdin(...asked);
      onReturn(() => input.close());
      return input;
    },
    onState(listener) {
      const listening = session.onState(listener);
      onReturn(() => listening[Symbol.dispose]());
      return listening;
    },
    async [Symbol.asyncDispose]() {
      returned.abort(new AppError("cancelled", "The connection is closed"));
    },
  };
  return new Proxy(session, {
    get(target, key) {
      if (Object.hasOwn(own, key)) return Reflect.get(own, key);
      // With the session itself as `this`: its fields are private.
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
