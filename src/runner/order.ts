import * as v from "valibot";
import { Caller } from "../module/caller.ts";
import { AppError } from "../protocol/error.ts";
import { parseForeignJson } from "../protocol/json.ts";

/** What a runner that is a job is to do, which it finds at the beginning of its stdin. What follows is its input. */
export const JobOrder = v.variant("type", [
  /** A background command of a module. The payload is its input, as `encodeValue` writes one. */
  v.object({
    type: v.literal("command"),
    command: v.string(),
    caller: Caller,
    config: v.optional(v.unknown()),
  }),
  /** A program that the configuration calls a command. The payload is its input, as JSON. */
  v.object({ type: v.literal("program"), command: v.string(), argv: v.array(v.string()) }),
  /**
   * A task, and who started it. The payload is the state that was saved last, if `isRestored`, and what `init` is given
   * otherwise; either as `encodeValue` writes it.
   */
  v.object({
    type: v.literal("task"),
    task: v.string(),
    caller: Caller,
    isRestored: v.boolean(),
    savesAlways: v.boolean(),
  }),
]);
export type JobOrder = v.InferOutput<typeof JobOrder>;

/** An order with what belongs to it. */
export interface Ordered {
  readonly order: JobOrder;
  /** The bundle in which it is, UTF-8; empty for a program. */
  readonly module: Uint8Array;
  readonly payload: Uint8Array;
}

const HEADER_BYTES = 12;
/** Of each part: what a module or a saved state may take. */
const MAX_PART_BYTES = 24 * 1024 * 1024;

/** Big-endian: length of the JSON u32 · of the module u32 · of the payload u32 · the three. */
export function encodeOrder({ order, module, payload }: Ordered): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(order));
  const parts = [json, module, payload];
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  parts.forEach((part, index) => view.setUint32(index * 4, part.length));
  return Buffer.concat([header, ...parts]);
}

/** Reads an order from what comes first; `rest` is what came behind it. Throws `protocol_error`. */
export async function readOrder(
  read: () => Promise<Uint8Array | undefined>,
): Promise<Ordered & { readonly rest: Uint8Array }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  let lengths: readonly [number, number, number] | undefined;
  for (;;) {
    const chunk = await read();
    if (chunk === undefined) throw new AppError("protocol_error", "Cannot read an order: it is cut off");
    chunks.push(new Uint8Array(chunk));
    size += chunk.length;
    lengths ??= findLengths(chunks, size);
    if (lengths !== undefined && size >= lengths.reduce((sum, length) => sum + length, HEADER_BYTES)) break;
  }
  const all = Buffer.concat(chunks);
  const [json, module, payload] = lengths;
  const behindJson = HEADER_BYTES + json;
  const text = new TextDecoder().decode(all.subarray(HEADER_BYTES, behindJson));
  const broken = (why: string) => new AppError("protocol_error", `Cannot read an order: it ${why}`);
  return {
    order: v.parse(JobOrder, parseForeignJson(text, broken)),
    module: all.subarray(behindJson, behindJson + module),
    payload: all.subarray(behindJson + module, behindJson + module + payload),
    rest: all.subarray(behindJson + module + payload),
  };
}

function findLengths(chunks: readonly Uint8Array[], size: number): [number, number, number] | undefined {
  if (size < HEADER_BYTES) return undefined;
  const header = Buffer.concat(chunks).subarray(0, HEADER_BYTES);
  const lengths: [number, number, number] = [
    header.readUInt32BE(0),
    header.readUInt32BE(4),
    header.readUInt32BE(8),
  ];
  if (lengths.every((length) => length <= MAX_PART_BYTES)) return lengths;
  throw new AppError(
    "protocol_error",
    `Cannot read an order: a part takes more than ${MAX_PART_BYTES} bytes`,
  );
}
