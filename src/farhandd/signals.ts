import { AppError } from "../protocol/error.ts";

/** Signals that ask to end. */
export const ENDING: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Aborted by the first signal that asks to end. The second ends this process at once, and with it nothing that others keep. */
export function stopSignal(hurried: number, names: readonly NodeJS.Signals[] = ENDING): AbortSignal {
  const controller = new AbortController();
  for (const name of names) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(hurried);
      controller.abort(new AppError("shutting_down", `Stopped by ${name}`));
    });
  }
  return controller.signal;
}
