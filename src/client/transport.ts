import * as v from "valibot";
import { AppError, ErrorBody } from "../protocol/error.ts";
import { SUBPROTOCOL } from "../protocol/hello.ts";
import type { Target } from "./config.ts";

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

/** Opens one WebSocket. Throws `connection_refused`, what the server answers instead, or the signal's reason. */
export async function openTransport(target: Target, signal: AbortSignal): Promise<Transport> {
  signal.throwIfAborted();
  const socket = new WebSocket(target.host.channel, {
    protocols: [SUBPROTOCOL],
    headers: toHeaders(target),
    perMessageDeflate: false,
  });
  socket.binaryType = "arraybuffer";
  try {
    await opened(socket, signal);
  } catch (error) {
    socket.onerror = null;
    socket.terminate();
    signal.throwIfAborted();
    throw await explain(target, error, signal);
  }
  return toTransport(socket);
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
  const { url, channel } = target.host;
  const failed = (code: string | undefined, cause: unknown) =>
    new AppError(
      code === "ECONNREFUSED" ? "connection_refused" : "connection_lost",
      `Cannot connect to ${url}: ${describe(code)}`,
      {
        cause,
      },
    );
  if (codeOf(error) !== undefined) return failed(codeOf(error), error);
  try {
    const address = channel.replace(/^ws/, "http");
    const response = await fetch(address, { headers: toHeaders(target), redirect: "manual", signal });
    return toRefusal(target, response.status, await response.text());
  } catch (cause) {
    signal.throwIfAborted();
    return failed(codeOf(cause), cause);
  }
}

function toRefusal({ host, token, isLocal }: Target, status: number, text: string): AppError {
  const cannot = `Cannot connect to ${host.url}`;
  if (status === 401) {
    const why =
      token === undefined ? "it asks for a token" : `it refuses the token${isLocal ? " in local.json" : ""}`;
    const advice = isLocal && token !== undefined ? "" : "; set FARHAND_TOKEN to a valid one";
    return new AppError("unauthenticated", `${cannot}: ${why}${advice}`, { details: { isLocal } });
  }
  const body = v.safeParse(ErrorBody, parseJson(text));
  if (body.success) return new AppError(body.output.code, `${cannot}: ${body.output.message}`);
  return new AppError("unavailable", `${cannot}: no farhandd answers there (HTTP status ${status})`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // something else than farhandd answers
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function describe(code: string | undefined): string {
  switch (code) {
    case "ECONNREFUSED":
      return "connection refused; is farhandd running there?";
    case "ENOTFOUND":
      return "no machine of that name is known";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "there is no route to it";
    case "EADDRNOTAVAIL":
    case "EINVAL":
      return "this machine cannot reach such an address";
    case "EPROTO":
      return "what answers there does not speak TLS";
    case "ECONNRESET":
      return "the connection was closed at once";
    default:
      return code === undefined ? "the connection failed" : `the connection failed (${code})`;
  }
}
