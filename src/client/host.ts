import { posix } from "node:path";
import { AppError } from "../protocol/error.ts";
import { DEFAULT_PORT, MAX_SOCKET_PATH } from "../protocol/limits.ts";

/** A server's address. */
export interface Host {
  /** As it is shown, and compared with the one in local.json: `http://127.0.0.1:9922`. */
  readonly url: string;
  /** Of the channel: `ws://127.0.0.1:9922/v1/channel`. */
  readonly channel: string;
  /** The path of the Unix socket that it is. */
  readonly socket?: string;
}

export interface HostOptions {
  /** Let it be without TLS: whoever is on the way reads the token and everything else. */
  readonly insecure?: boolean | undefined;
}

/**
 * Reads `web1`, `web1:9922`, `[::1]:9922`, a URL or `unix:/path`. A name without a scheme means TLS, except on loopback. Throws
 * `invalid_input`, also for an address beyond loopback without TLS: a token never travels in the clear unless that is asked for.
 */
export function parseHost(
  text: string,
  port: number = DEFAULT_PORT,
  { insecure = false }: HostOptions = {},
): Host {
  if (/^unix:/i.test(text)) return parseSocket(text);
  if (/^(?:\w+:\/\/)?\[?[0-9a-f:.]+%/i.test(text)) {
    throw refused(
      text,
      "no address with a zone (%) can be used; write the machine's name or another address",
    );
  }
  const url = URL.parse(toUrl(text, port));
  if (url === null || url.hostname === "") {
    throw refused(text, "write host, host:port, [::1]:port, unix:/path or a URL such as https://web1.lab");
  }
  url.hostname = toPlain(url.hostname);
  if (url.username !== "" || url.password !== "")
    throw refused(text, "an address has no login; run farhand login, or set FARHAND_TOKEN");
  if (url.search !== "" || url.hash !== "") throw refused(text, "an address has no ? and no #");
  if (url.protocol === "http:" && !insecure && !isLoopback(url.hostname)) {
    throw refused(
      text,
      "without TLS only this machine can be reached; use https://, or --insecure, which lets everybody on the way read the token and all else",
    );
  }
  const base = `${url.host}${url.pathname.replace(/\/+$/, "")}`;
  const secure = url.protocol === "https:" ? "s" : "";
  return { url: `http${secure}://${base}`, channel: `ws${secure}://${base}/v1/channel` };
}

/** Whether it is spoken to by TLS. */
export function isSecure({ url }: Host): boolean {
  return url.startsWith("https:");
}

/** Whether no other machine is on the way to it. */
export function isThisMachine({ url, socket }: Host): boolean {
  return socket !== undefined || isLoopback(new URL(url).hostname);
}

/** Whether everybody on the way can read what is said. */
export function isExposed(host: Host): boolean {
  return !isSecure(host) && !isThisMachine(host);
}

/** Whether two addresses mean the same server on this machine, where one may say `localhost`. */
export function isSameLocal(host: Host, local: Host): boolean {
  return host.url === local.url || host.url === local.url.replace("//127.0.0.1:", "//localhost:");
}

function parseSocket(text: string): Host {
  const [, given = ""] = /^unix:(?:\/\/)?(\/.*)$/is.exec(text) ?? [];
  const socket = given && posix.normalize(given);
  // Bun can reach no other, since what it takes is a URL.
  if (!/^\/[\w./@+,=~-]+$/.test(socket))
    throw refused(text, "write unix: and an absolute path of letters, digits and ./@+,=~_-");
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH)
    throw refused(text, `the path of a socket has at most ${MAX_SOCKET_PATH} bytes`);
  return { url: `unix:${socket}`, channel: `ws+unix://${socket}:/v1/channel`, socket };
}

/** What may be shown: a password that was written in spite of all is not repeated. */
function withoutLogin(text: string): string {
  return text.replace(/[^/]*@/, "…@");
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

/** An IPv4 address that is written as an IPv6 one, as IPv4; everything else as it is. */
function toPlain(hostname: string): string {
  const [, high, low] = /^\[::ffff:([0-9a-f]+):([0-9a-f]+)\]$/.exec(hostname) ?? [];
  if (high === undefined || low === undefined) return hostname;
  const [upper, lower] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return [upper >> 8, upper & 255, lower >> 8, lower & 255].join(".");
}

/** The text as a http or https URL; what is none comes out as one that cannot be parsed. */
function toUrl(text: string, port: number): string {
  const [, scheme, rest = ""] = /^(ws|http)(s?:\/\/.*)$/i.exec(text) ?? [];
  if (scheme !== undefined) return `http${rest}`;
  const bare = /^[0-9a-f:]*:[0-9a-f:.]*:[0-9a-f.]*$/i.test(text) ? `[${text}]` : text;
  const [, name = "", digits] = /^(\[[0-9a-f:.]+\]|\w[\w.-]*)(?::(\d{1,5}))?$/i.exec(bare) ?? [];
  const hostname = toPlain(URL.parse(`http://${name}`)?.hostname ?? "");
  return `http${isLoopback(hostname) ? "" : "s"}://${name}:${digits ?? port}`;
}

function refused(text: string, why: string): AppError {
  return new AppError("invalid_input", `Cannot use host "${withoutLogin(text)}": ${why}`);
}
