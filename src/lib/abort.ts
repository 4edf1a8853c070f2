/** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as it is aborted. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
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

/** Calls `callback` once after `ms` milliseconds unless disposed before. It keeps no process alive. */
export function after(ms: number, callback: () => void): Disposable {
  const timer = setTimeout(callback, ms);
  timer.unref();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

/** Yields one turn of the event loop: everything that is ready (sockets, pipes, timers) goes first. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
