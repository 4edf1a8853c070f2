import * as v from "valibot";
import type { Source } from "../../client/feed.ts";
import { invoke, invokeStream } from "../../client/invoke.ts";
import type { Session } from "../../client/session.ts";
import { toJsonLine } from "../../lib/escape.ts";
import { toTagged } from "../../protocol/cbor/tagged.ts";
import { AppError } from "../../protocol/error.ts";
import type { Context } from "../context.ts";
import { toSignalCode } from "../exit.ts";
import { play } from "../play.ts";
import { type Renderer, renderJson, toTextRenderer } from "../render.ts";
import { forPeople, type Wording } from "../value-text.ts";
import type { Definition } from "./definition.ts";

/** What is to be known of a foreground command to call it. */
export type Known = Pick<Definition, "name" | "idempotent" | "takesInput" | "event" | "custom">;

export interface Asked {
  readonly input: unknown;
  /** The bytes that it takes besides its input. */
  readonly source: Source | undefined;
  /** How values become text (default: for people). */
  readonly wording?: Wording;
}

/** Calls it and writes to stdout what it says, and then what it answers. */
export async function runForeground(
  session: Session,
  known: Known,
  { input, source, wording }: Asked,
  context: Context,
): Promise<number> {
  const { sinks, globals, signal } = context;
  const words = wording ?? forPeople(context);
  const { name, idempotent, takesInput, event, custom } = known;
  const any = { input: v.unknown(), event: v.unknown(), result: v.unknown() };
  const command = {
    ...{ name, idempotent, takesInput, isCustom: custom, ...any },
    ...({ kind: "foreground", summary: "" } as const),
  };
  let hasSaid = event !== undefined;
  const answer = (value: unknown): number => {
    const shown = hasSaid ? { type: "result", value: toTagged(value) } : toTagged(value ?? null);
    const text = globals.json ? toJsonLine(shown) : words.toAnswer(value);
    if (text !== "") sinks.stdout.writeLine(text);
    return 0;
  };
  // One of the server's own that yields only bytes has no events, and says something all the same.
  if (event === undefined && !custom)
    return answer(await invoke(session, { ...command, event: undefined }, input, signal, source));

  const unread = new AbortController();
  const either = AbortSignal.any([signal, unread.signal]);
  const { output, result } = invokeStream(session, command, input, { signal: either, source });
  const show = globals.json ? renderJson : toTextRenderer(words);
  const render: Renderer = (packet) => {
    hasSaid = true;
    return show(packet);
  };
  await play(output, { sinks, render, isShared: false, unread: "stop", until: "closed" });
  if (!sinks.stdout.isUnread) return answer(await result);
  unread.abort(new AppError("cancelled", "Nobody reads what it says"));
  return toSignalCode("PIPE");
}
