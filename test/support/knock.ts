import { connect } from "node:net";

export interface KnockOptions {
  readonly url: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The address to come from. */
  readonly from?: string;
}

/** What a server said, and whether it then closed the connection by itself. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** One HTTP request over a connection of its own, from whichever address, read until the server closes it. */
export function knock(options: KnockOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = dial(options);
    const chunks: Buffer[] = [];
    socket.on("connect", () => socket.write(toText(options)));
    socket.on("data", (chunk) => chunks.push(Buffer.from(chunk)));
    socket.on("error", reject);
    socket.on("close", () => resolve(parseAnswer(Buffer.concat(chunks).toString())));
  });
}

/** The same request, on a connection that is reset behind it. */
export function knockAndReset(options: KnockOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = dial(options);
    socket.on("connect", () => socket.write(toText(options), () => socket.resetAndDestroy()));
    socket.on("error", reject);
    socket.on("close", () => resolve());
  });
}

function dial({ url, from = "127.0.0.1" }: KnockOptions) {
  const { hostname, port } = new URL(url);
  return connect({ host: hostname, port: Number(port), localAddress: from });
}

function toText({ url, path = "/v1/status", method = "GET", headers = {}, body = "" }: KnockOptions): string {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${new URL(url).host}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

function parseAnswer(text: string): Answer {
  const [head = "", body = ""] = text.split("\r\n\r\n");
  const [first = "", ...fields] = head.split("\r\n");
  const headers = fields.map((field) => field.split(/:\s*(.*)/).slice(0, 2) as [string, string]);
  return { status: Number(first.split(" ")[1]), headers: new Headers(headers), body };
}
