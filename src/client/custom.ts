import * as v from "valibot";
import { toKebab } from "../lib/kebab.ts";
import type { CommandDescription } from "../protocol/description.ts";
import type { Callable } from "./call-reading.ts";
import type { Commands } from "./methods.ts";
import type { CallOptions } from "./options.ts";

type Method = (...args: readonly unknown[]) => Promise<unknown>;

/**
 * Commands by whatever name they have, as methods of an object that has no others: `deployAll` and `deploy-all` are the same.
 * Called itself it is the built-in command `commands`.
 */
export function createCommands(call: (name: string, args: readonly unknown[]) => Promise<unknown>): Commands {
  const known = new Map<string, Method>();
  const find = (name: string): Method => {
    const method = known.get(name) ?? ((...args) => call(name, args));
    known.set(name, method);
    return method;
  };
  const itself: Method = (...args) => call("commands", args);
  const proxy = new Proxy(itself, {
    // Whoever awaits it must not take it for a promise.
    get: (_, name) => (typeof name === "symbol" || name === "then" ? undefined : find(toKebab(name))),
  });
  // The one place where the methods' types cannot be derived: what the server offers is known only there.
  return proxy as unknown as Commands;
}

/** What is to be known of a custom command to call it. */
export type Custom = Callable<unknown, unknown> & Pick<CommandDescription, "kind">;

/** A custom command as its server describes it; a server that does not will refuse the call. */
export function toCustom(
  name: string,
  described: CommandDescription | undefined,
  { stdin }: CallOptions,
): Custom {
  return {
    kind: described?.kind ?? "foreground",
    name: described?.name ?? name,
    isCustom: true,
    idempotent: described?.idempotent ?? false,
    takesInput: described?.takesInput ?? stdin !== undefined,
    event: isSilent(described) ? undefined : v.unknown(),
    result: v.unknown(),
  };
}

/** Whether it says nothing on the way. One of the server's own that yields only bytes has no events, and says something all the same. */
function isSilent(described: CommandDescription | undefined): boolean {
  return described !== undefined && described.event === undefined && described.custom !== true;
}

export function toCamelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}
