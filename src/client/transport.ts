import * as v from "valibot";
import { delay } from "../lib/abort.ts";
import { toErrorCode } from "../lib/error-code.ts";
import { AppError, ErrorBody } from "../protocol/error.ts";
import { SUBPROTOCOL } from "../protocol/hello.ts";
import type { Target } from "./config.ts";
import { isSecure } from "./host.ts";
import { checkOwnSocket } from "./own-file.ts";
import type { TlsOptions } from "./trust.ts";

/** Where frames go: a WebSocket, or in tests whatever stands for one. */
export interface Peer {
  send(frame: string | Uint8Array<ArrayBuffer>): void;
  close(code: number, reason: string): void;
}

/** Who takes what comes over a transport. */
export interface Receiver {
  receiveText(text: string): void;
  receiveData(frame: Uint8Array): void;
  disconnected(error: AppError): void;
}

/** A WebSocket that is open: something to speak to, once there is somebody to listen. */
export interface Transport extends Peer {
  /** Nothing is delivered before; to be called at once. */
  listen(receiver: Receiver): void;
}

/**
 * Opens one WebSocket, once the server has proved who it is. Throws `connection_refused`, `untrusted`, `state_unusable` for
 * another user's socket, what the server answers instead, or the signal's reason.
 */
export async function openTransport(target: Target, signal: AbortSignal): Promise<Transport> {
  signal.throwIfAborted();
  const { socket } = target.host;
  const open = (tls?: TlsOptions) => openSocket(target, tls, signal);
  try {
    if (socket !== undefined) checkOwnSocket(socket);
    if (!isSecure(target.host)) return toTransport(await open());
    const { secure } = await import("./secure.ts");
    return toTransport(await secure(target, signal, open));
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AppError ? error : await explain(target, error, signal);
  }
}

/** Milliseconds in which a server that changes its certificate has its address again; it takes less than one. */
const CHANGE_TIME = 50;

/** One that is reset or refused before anything came over it is tried once more: a server that changes its certificate does that. */
async function openSocket(
  target: Target,
  tls: TlsOptions | undefined,
  signal: AbortSignal,
): Promise<WebSocket> {
  try {
    return await attempt(target, tls, signal);
  } catch (error) {
    const code = toErrorCode(error);
    if (code !== "ECONNRESET" && !(code === "ECONNREFUSED" && tls !== undefined)) throw error;
    await delay(CHANGE_TIME, signal);
    return await attempt(target, tls, signal);
  }
}

async function attempt(target: Target, tls: TlsOptions | undefined, signal: AbortSignal): Promise<WebSocket> {
  const options = {
    protocols: [SUBPROTOCOL],
    headers: toHeaders(target),
    perMessageDeflate: false,
    ...(tls && { tls }),
  };
  // Bun's types leave out what its TLS takes besides the usual.
  const socket = new WebSocket(target.host.channel, options as Bun.WebSocketOptions);
  socket.binaryType = "arraybuffer";
  try {
    await opened(socket, signal);
    return socket;
  } catch (error) {
    socket.onerror = null;
    socket.terminate();
    throw isCutOff(error) ? Object.assign(error, { code: "ECONNRESET" }) : error;
  }
}

/** Whether the handshake of TLS broke off, of which Bun says no more: neither side had an objection. */
function isCutOff(error: unknown): error is Error {
  return (
    error instanceof Error &&
    toErrorCode(error) === undefined &&
    error.message.endsWith("TLS handshake failed")
  );
}

function opened(socket: WebSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    socket.onopen = () => {
      signal.removeEventListener("abort", stop);
      resolve();
    };
    socket.onerror = (event) => {
      signal.removeEventListener("abort", stop);
      reject("error" in event ? event.error : event);
    };
  });
}

function toTransport(socket: WebSocket): Transport {
  return {
    send: (frame) => socket.send(frame),
    close: (code, reason) => socket.close(code, cut(reason)),
    listen(receiver) {
      socket.onmessage = ({ data }) => {
        if (typeof data === "string") receiver.receiveText(data);
        else receiver.receiveData(new Uint8Array(data));
      };
      socket.onerror = () => {}; // the close that follows says the same
      socket.onclose = ({ code, reason }) => receiver.disconnected(toLoss(code, reason));
      if (socket.readyState === WebSocket.CLOSED) receiver.disconnected(toLoss(1006, ""));
    },
  };
}

/** A close reason of at most 123 bytes, as the WebSocket protocol has it. */
function cut(reason: string): string {
  return new TextDecoder().decode(new TextEncoder().encode(reason).subarray(0, 120));
}

/** Why a connection is gone. A server that closes on purpose says so in "code: sentence". */
function toLoss(code: number, reason: string): AppError {
  const [, name, sentence] = /^([a-z_]+): (.+)$/s.exec(reason) ?? [];
  const body = v.safeParse(ErrorBody, { code: name, message: sentence });
  if (body.success) return new AppError(body.output.code, body.output.message);
  const how = code === 1006 ? "it broke off" : `closed with code ${code}${reason && ` (${reason})`}`;
  return new AppError("connection_lost", `Connection lost: ${how}`);
}

function toHeaders({ token }: Target): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

/** A WebSocket does not tell why it was refused: an ordinary request to the same address does. */
async function explain(target: Target, error: unknown, signal: AbortSignal): Promise<AppError> {
  const { toNetworkFailure } = await import("./network-failure.ts");
  if (toErrorCode(error) !== undefined) return await toNetworkFailure(target, error, signal);
  const [{ ask }, { toRefusal }] = await Promise.all([import("./request.ts"), import("./refusal.ts")]);
  try {
    return toRefusal(target, await ask(target, "/v1/channel", { signal }));
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof AppError) return cause;
    throw cause;
  }
}
