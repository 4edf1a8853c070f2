/** Milliseconds: the system's longest timer. Beyond that one fires at once, and a warning is written to stderr. */
const MAX_TIMER = 2 ** 31 - 1;

/** Resolves after `ms` milliseconds, however many; rejects with the signal's reason as soon as it is aborted. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      timer[Symbol.dispose]();
      reject(signal.reason);
    };
    const timer = startTimer(ms, () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Settles as `promise` does, or rejects with the signal's reason if that comes first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** Calls `callback` once after `ms` milliseconds, however many, unless disposed before. It keeps no process alive. */
export function after(ms: number, callback: () => void): Disposable {
  return startTimer(ms, callback, (timer) => timer.unref());
}

/** Until disposed, this process's event loop has something to wait for. */
export function keepAwake(): Disposable {
  return startTimer(Number.POSITIVE_INFINITY, () => {});
}

/** Yields one turn of the event loop: everything that is ready (sockets, pipes, timers) goes first. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A timer made of as many of the system's as it takes. */
function startTimer(
  ms: number,
  callback: () => void,
  onStart: (timer: NodeJS.Timeout) => void = () => {},
): Disposable {
  let timer: NodeJS.Timeout | undefined;
  const start = (left: number) => {
    const rest = left - MAX_TIMER;
    timer = setTimeout(() => (rest > 0 ? start(rest) : callback()), Math.min(left, MAX_TIMER));
    onStart(timer);
  };
  start(ms);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
