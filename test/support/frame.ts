/** One WebSocket frame, with everything in it that a sane client leaves to its library. */
export interface RawFrame {
  readonly opcode: number;
  readonly payload?: Uint8Array | string;
  /** Default true. */
  readonly fin?: boolean;
  /** The three reserved bits, 0 to 7. */
  readonly rsv?: number;
  /** Default four zero bytes; null for an unmasked frame. */
  readonly mask?: readonly [number, number, number, number] | null;
  /** What the header says of the payload's length, where that is not the truth. */
  readonly length?: number;
  /** Bytes in which the length is written: the shortest form unless told otherwise. */
  readonly lengthBytes?: 1 | 2 | 8;
}

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Bytes of a frame as they stand on the wire. */
export function encodeFrame({
  opcode,
  payload = "",
  fin = true,
  rsv = 0,
  mask = [0, 0, 0, 0],
  length,
  lengthBytes,
}: RawFrame): Uint8Array {
  const body = Buffer.from(payload as Uint8Array);
  const said = length ?? body.length;
  const form = lengthBytes ?? (said < 126 ? 1 : said < 65_536 ? 2 : 8);
  const header = Buffer.alloc(2 + (form === 1 ? 0 : form));
  header[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  header[1] = (mask ? 0x80 : 0) | (form === 1 ? said : form === 2 ? 126 : 127);
  if (form === 2) header.writeUInt16BE(said, 2);
  if (form === 8) header.writeBigUInt64BE(BigInt.asUintN(64, BigInt(said)), 2);
  if (mask === null) return Buffer.concat([header, body]);
  return Buffer.concat([header, Buffer.from(mask), unmask(body, mask)]);
}

/** A frame as it came. */
export interface ReadFrame {
  readonly fin: boolean;
  readonly opcode: number;
  /** Without the mask. */
  readonly payload: Buffer;
  /** All of it as it stood on the wire: sent again, it is the same frame. */
  readonly wire: Buffer;
}

/** Cuts a stream into an HTTP head and the frames that follow it where it is an upgrade's. */
export class FrameReader {
  /** The head up to and with its empty line, once it is there. */
  head: string | undefined;
  /** Whether the head is there, and frames follow it. */
  isUpgraded = false;
  #pending: Buffer = Buffer.alloc(0);

  /** Takes what came, and answers the frames that are whole now. */
  *read(chunk: Uint8Array): Generator<ReadFrame> {
    this.#pending = this.#pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#pending, chunk]);
    if (this.head === undefined) this.#readHead();
    if (!this.isUpgraded) return;
    for (let frame = this.#readFrame(); frame !== undefined; frame = this.#readFrame()) yield frame;
  }

  /** Everything that follows the head of something else than an upgrade; each byte once. */
  takeRest(): Uint8Array {
    return this.#take(this.#pending.length);
  }

  #readHead(): void {
    const end = this.#pending.indexOf("\r\n\r\n");
    if (end < 0) return;
    this.head = this.#take(end + 4).toString("latin1");
    this.isUpgraded = /^upgrade: *websocket\r$/im.test(this.head);
  }

  #readFrame(): ReadFrame | undefined {
    const size = measure(this.#pending);
    if (size === undefined || this.#pending.length < size.header + size.payload) return undefined;
    const wire = this.#take(size.header + size.payload);
    const first = wire.readUInt8(0);
    const payload = wire.subarray(size.header);
    const isMasked = (wire.readUInt8(1) & 0x80) !== 0;
    return {
      fin: (first & 0x80) !== 0,
      opcode: first & 15,
      payload: isMasked ? unmask(payload, wire.subarray(size.header - 4, size.header)) : payload,
      wire,
    };
  }

  #take(bytes: number): Buffer {
    const taken = this.#pending.subarray(0, bytes);
    this.#pending = this.#pending.subarray(bytes);
    return taken;
  }
}

/** Bytes of a frame's header, with its mask, and of its payload; undefined until the header is whole. */
function measure(bytes: Buffer): { readonly header: number; readonly payload: number } | undefined {
  if (bytes.length < 2) return undefined;
  const second = bytes.readUInt8(1);
  const short = second & 127;
  const form = short < 126 ? 0 : short === 126 ? 2 : 8;
  const header = 2 + form + ((second & 0x80) === 0 ? 0 : 4);
  if (bytes.length < header) return undefined;
  const payload = form === 0 ? short : form === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  return { header, payload };
}

function unmask(body: Buffer, mask: ArrayLike<number>): Buffer {
  const bytes = Buffer.from(body);
  for (let index = 0; index < bytes.length; index++)
    bytes[index] = (bytes[index] ?? 0) ^ (mask[index & 3] ?? 0);
  return bytes;
}
