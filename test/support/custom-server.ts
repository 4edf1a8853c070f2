import type { JobId } from "../../src/protocol/id.ts";
import { toValue } from "../../src/protocol/value.ts";
import { openFakeServer } from "./fake-server.ts";
import type { Heard, ServerPeer } from "./server-peer.ts";

type Call = Extract<Heard, { type: "call" }>;

/** Commands that a fake server has. */
export const definitions = [
  {
    name: "deploy-all",
    kind: "foreground",
    summary: "Deploy to everywhere",
    permission: "exec",
    idempotent: false,
    takesInput: false,
    custom: true,
    positional: ["to", "hosts"],
    input: {
      type: "object",
      properties: {
        to: { type: "string", description: "Where to" },
        hosts: { type: "array", items: { type: "string" } },
        mode: { enum: ["fast", "slow"], default: "fast" },
        maxRetries: { type: "integer", description: "How often it is tried" },
        host: { type: "string" },
        deep: { type: "boolean" },
      },
      required: ["to"],
    },
    event: { type: "object" },
    result: {},
  },
  {
    name: "nightly",
    kind: "background",
    summary: "Run every night",
    permission: "exec",
    idempotent: false,
    takesInput: true,
    custom: true,
    positional: ["what"],
    input: { type: "object", properties: { what: { type: "string" }, label: { type: "string" } } },
    event: {},
  },
];

/** A server of this process that has these commands and answers what calls them as it is told. */
export function openCustomServer(onCall: (call: Call, peer: ServerPeer) => void) {
  return openFakeServer({
    answer(frame, peer) {
      if (frame.type === "hello") peer.welcome();
      if (frame.type !== "call") return;
      if (frame.command !== "commands") return onCall(frame, peer);
      // As a client asks: for those of these names.
      const { names } = frame.input.value as { readonly names: readonly string[] };
      const known = definitions.filter(({ name }) => names.length === 0 || names.includes(name));
      if (known.length > 0) return peer.say({ type: "result", call: frame.call, result: toValue(known) });
      const message = `Cannot call "${names[0]}": this server has no such command`;
      peer.say({ type: "failed", call: frame.call, error: { code: "unknown_command", message } });
    },
  });
}

/** Answers a foreground call: what it says on the way, and its result. */
export function answer(
  { call, events }: Call,
  peer: ServerPeer,
  said: readonly Uint8Array[],
  result: unknown,
): void {
  if (events !== undefined) {
    if (said.length > 0) peer.data(events.channel, ...said);
    peer.end(events.channel);
  }
  peer.say({ type: "result", call, result: toValue(result) });
}

/** Answers a background call with a job that has said this. */
export function accept({ call, job, output }: Call, peer: ServerPeer, said: readonly Uint8Array[]): void {
  peer.say({ type: "accepted", call, job: job as JobId, number: 7 });
  if (output !== undefined && said.length > 0) peer.data(output.channel, ...said);
}
