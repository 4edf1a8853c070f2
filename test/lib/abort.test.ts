import { afterEach, describe, expect, jest, test } from "bun:test";
import { abortable, after, delay, turn } from "../../src/lib/abort.ts";

const DAY = 24 * 3_600_000;

const never = new AbortController().signal;

/** An AbortSignal that counts its listeners. */
function setup() {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  return { signal, abort: (reason: unknown) => controller.abort(reason), listeners: () => listeners };
}

/** Advances the fake clock, which takes no more than a timer at once. */
function advance(ms: number): void {
  for (let left = ms; left > 0; left -= DAY) jest.advanceTimersByTime(Math.min(left, DAY));
}

afterEach(() => void jest.useRealTimers());

describe("delay", () => {
  test("resolves after its time and not before", async () => {
    jest.useFakeTimers();
    const { signal, listeners } = setup();
    let isOver = false;
    const over = delay(1_000, signal).then(() => (isOver = true));
    jest.advanceTimersByTime(999);
    await Promise.resolve();
    expect(isOver).toBe(false);
    jest.advanceTimersByTime(1);
    await over;
    expect(listeners()).toBe(0);
  });

  test("rejects with the signal's reason as soon as it is aborted, and leaves no timer", async () => {
    jest.useFakeTimers();
    const { signal, abort } = setup();
    const delayed = delay(1_000, signal);
    abort("stopped");
    expect(await delayed.catch((reason) => reason)).toBe("stopped");
    expect(jest.getTimerCount()).toBe(0);
  });

  test("waits longer than the system's longest timer, and can be stopped all the while", async () => {
    jest.useFakeTimers();
    const { signal, abort, listeners } = setup();
    let isOver = false;
    const over = delay(60 * DAY, signal).then(() => (isOver = true));
    advance(60 * DAY - 1);
    await Promise.resolve();
    expect(isOver).toBe(false);
    advance(1);
    await over;
    expect(listeners()).toBe(0);

    const stopped = delay(60 * DAY, signal);
    advance(40 * DAY);
    abort("stopped");
    expect(await stopped.catch((reason) => reason)).toBe("stopped");
    expect(jest.getTimerCount()).toBe(0);
  });

  test("rejects at once when the signal is aborted already", async () => {
    expect(await delay(60_000, AbortSignal.abort("before")).catch((reason) => reason)).toBe("before");
  });
});

describe("abortable", () => {
  test("settles as its promise does, and takes its listener away", async () => {
    const { signal, listeners } = setup();
    expect(await abortable(Promise.resolve(7), signal)).toBe(7);
    expect(await abortable(Promise.reject("failed"), signal).catch((reason) => reason)).toBe("failed");
    await turn();
    expect(listeners()).toBe(0);
  });

  test("rejects with the signal's reason when that comes first, also when it had come already", async () => {
    const { signal, abort } = setup();
    const waiting = abortable(new Promise(() => {}), signal);
    abort("stopped");
    expect(await waiting.catch((reason) => reason)).toBe("stopped");
    expect(await abortable(new Promise(() => {}), signal).catch((reason) => reason)).toBe("stopped");
  });

  test("leaves no unhandled rejection when its promise fails after the abort", async () => {
    const script = `
      import { abortable } from "${import.meta.dir}/../../src/lib/abort.ts";
      const late = Promise.withResolvers();
      const waiting = abortable(late.promise, AbortSignal.timeout(1));
      await waiting.catch(() => {});
      late.reject(new Error("too late"));
      await new Promise((resolve) => setImmediate(resolve));
      console.log("fine");
    `;
    const { stdout, exitCode } = Bun.spawnSync([process.execPath, "--config=/dev/null", "-e", script]);
    expect({ said: stdout.toString(), exitCode }).toEqual({ said: "fine\n", exitCode: 0 });
  });
});

describe("after", () => {
  test("calls back once after its time", () => {
    jest.useFakeTimers();
    let calls = 0;
    after(500, () => calls++);
    jest.advanceTimersByTime(499);
    expect(calls).toBe(0);
    jest.advanceTimersByTime(5_000);
    expect(calls).toBe(1);
  });

  test("never calls back once it is disposed", () => {
    jest.useFakeTimers();
    let calls = 0;
    {
      using _timer = after(500, () => calls++);
    }
    jest.advanceTimersByTime(5_000);
    expect(calls).toBe(0);
  });

  test("calls back after more than the system's longest timer, unless disposed", () => {
    jest.useFakeTimers();
    let calls = 0;
    after(60 * DAY, () => calls++);
    const disposed = after(60 * DAY, () => calls++);
    advance(40 * DAY);
    disposed[Symbol.dispose]();
    advance(20 * DAY - 1);
    expect(calls).toBe(0);
    advance(1);
    expect(calls).toBe(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  test("neither calls back early nor warns, however long it waits", () => {
    const script = `
      import { after, delay } from "${import.meta.dir}/../../src/lib/abort.ts";
      const early = () => console.log("early");
      after(30 * ${DAY}, early);
      await Promise.race([delay(30 * ${DAY}, AbortSignal.timeout(100)).then(early), Bun.sleep(50)]).catch(() => {});
      process.exit();
    `;
    const { stdout, stderr } = Bun.spawnSync([process.execPath, "--config=/dev/null", "-e", script]);
    expect([stdout.toString(), stderr.toString()]).toEqual(["", ""]);
  });

  test("keeps no process alive", () => {
    const script = `
      import { after } from "${import.meta.dir}/../../src/lib/abort.ts";
      after(60_000, () => {});
    `;
    const { exitCode } = Bun.spawnSync([process.execPath, "-e", script], { timeout: 10_000 });
    expect(exitCode).toBe(0);
  });
});

test("turn lets timers, sockets and pipes that are ready go first", async () => {
  let isReady = false;
  setTimeout(() => (isReady = true), 0);
  const deadline = performance.now() + 10_000;
  while (!isReady && performance.now() < deadline) await turn();
  expect(isReady).toBe(true);
  expect(await delay(0, never)).toBeUndefined();
});
