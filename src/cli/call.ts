import * as v from "valibot";
import type { Source } from "../client/feed.ts";
import { invoke, invokeStream, toEvent } from "../client/invoke.ts";
import type { Session } from "../client/session.ts";
import type { ByteSource, ForegroundCommand, StreamCommand } from "../commands/define.ts";
import { escapeLines, toJsonLine } from "../lib/escape.ts";
import { AppError } from "../protocol/error.ts";
import type { Packet } from "../protocol/packet.ts";
import { complain, type Context, openSession, print } from "./context.ts";
import { toSignalCode } from "./exit.ts";
import { play } from "./play.ts";
import { type Renderer, toText } from "./render.ts";
import type { Verb } from "./verb.ts";

type Plain<S extends v.GenericSchema, R extends v.GenericSchema> = Omit<
  ForegroundCommand<S, R>,
  "run" | "permission"
>;
type Streaming<S extends v.GenericSchema, E extends v.GenericSchema, R extends v.GenericSchema> = Omit<
  StreamCommand<S, E, R>,
  "run" | "permission"
>;

/** A verb that is one call of a foreground command, whose answer it shows, and what it says on the way. */
export function toCall<S extends v.GenericSchema, E extends v.GenericSchema, R extends v.GenericSchema>(
  command: Plain<S, R> | Streaming<S, E, R>,
  { toJson = (answer) => answer }: Seen<v.InferOutput<R>> = {},
): Verb {
  return {
    ...command.cli,
    summary: command.summary,
    async run(values, context) {
      const input = command.cli.toInput(values);
      const source = await openSource(command.cli.toSource?.(values), context);
      await using session = await openSession(context);
      return isStreaming<S, E, R>(command)
        ? await runStream(session, command, { input, source }, context)
        : await runPlain(session, command, { input, source, toJson }, context);
    },
  };
}

/** What `--json` writes of an answer (default: what it is). */
interface Seen<R> {
  readonly toJson?: (answer: R) => unknown;
}

interface Asked<S extends v.GenericSchema> {
  readonly input: v.InferInput<S>;
  readonly source: Source | undefined;
}

async function runPlain<S extends v.GenericSchema, R extends v.GenericSchema>(
  session: Session,
  command: Plain<S, R>,
  { input, source, toJson }: Asked<S> & Required<Seen<v.InferOutput<R>>>,
  context: Context,
): Promise<number> {
  const answer = await invoke(session, command, input, context.signal, source);
  print(context, toJson(answer), () => command.cli.show(answer));
  return command.cli.toExitCode?.(answer) ?? 0;
}

async function runStream<S extends v.GenericSchema, E extends v.GenericSchema, R extends v.GenericSchema>(
  session: Session,
  command: Streaming<S, E, R>,
  { input, source }: Asked<S>,
  context: Context,
): Promise<number> {
  const { sinks, globals } = context;
  const unread = new AbortController();
  const signal = AbortSignal.any([context.signal, unread.signal]);
  const { output, result } = invokeStream(session, command, input, { signal, source });
  const show = (packet: Extract<Packet, { type: "value" }>) => {
    const event = toEvent(command, packet);
    return globals.json ? toJsonLine(event) : escapeLines(command.cli.show(event));
  };
  const { heading } = command.cli;
  const render = createRenderer(withHeading(show, globals.json ? undefined : heading), globals.json);
  await play(output, { sinks, render, isShared: false, unread: "stop", until: "closed" });
  if (sinks.stdout.isUnread) {
    unread.abort(new AppError("cancelled", "Nobody reads what it says"));
    return toSignalCode("PIPE");
  }
  const answer = await result;
  const said = command.cli.conclude?.(answer);
  if (said !== undefined) complain(context, said);
  return command.cli.toExitCode?.(answer) ?? 0;
}

type Show = (packet: Extract<Packet, { type: "value" }>) => string;

/** What stands above the first event, if there is one. */
function withHeading(show: Show, heading: string | undefined): Show {
  let above = heading === undefined ? "" : `${heading}\n`;
  return (packet) => {
    const text = above + show(packet);
    above = "";
    return text;
  };
}

/** Events as lines, bytes as they are or, among JSON, as text or base64. */
function createRenderer(show: Show, isJson: boolean): Renderer {
  return (packet) => {
    if (packet.type === "value") return [{ stream: "stdout", bytes: `${show(packet)}\n` }];
    if (packet.type !== "stdout") return [];
    return [{ stream: "stdout", bytes: isJson ? `${toJsonLine(toText(packet.bytes))}\n` : packet.bytes }];
  };
}

/** The bytes that a command is given, where it takes any. */
export async function openSource(
  source: ByteSource | undefined,
  { stdin }: Context,
): Promise<Source | undefined> {
  if (source === undefined) return undefined;
  if (source.type === "stdin") return stdin();
  const { readLocalFile } = await import("./local-file.ts");
  return readLocalFile(source.path);
}

function isStreaming<S extends v.GenericSchema, E extends v.GenericSchema, R extends v.GenericSchema>(
  command: Plain<S, R> | Streaming<S, E, R>,
): command is Streaming<S, E, R> {
  return command.event !== undefined;
}
