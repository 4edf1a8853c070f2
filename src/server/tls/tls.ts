import { isIP } from "node:net";
import { delay } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import type { ServerConfig } from "../config.ts";
import type { Reloadable } from "../reload.ts";
import { listMachineAddresses, listNames } from "../names.ts";
import { covers, isDue } from "./certificate.ts";
import { openOwnPair } from "./own-pair.ts";
import { type Pair, readCertificates, readPair } from "./pair.ts";

/** Milliseconds between two looks whether a certificate of ours is to be renewed: the clock may jump, or the machine be renamed. */
const EVERY = 60_000;

/** Days before the end of a certificate from which on its operator is warned. */
const WARNED_DAYS = 14;

/** What a server proves itself by, and what it demands of clients. */
export interface Credentials extends Pair {
  /** Authorities in PEM of which one must have issued the client's certificate; undefined where none is demanded. */
  readonly clientCa: string | undefined;
}

export interface TlsOptions {
  /** `tls/` in the state directory, where the server keeps what it made itself. */
  readonly directory: string;
  readonly config: ServerConfig;
  readonly now: () => Date;
  /** Has the server use other credentials from now on. Throws where it cannot, and goes on with those it has. */
  readonly secure: (credentials: Credentials) => Promise<void>;
}

/** The credentials in use: the operator's files, or a pair of the server's own, which it renews by itself. */
export class Tls implements Reloadable {
  readonly name = "certificate";
  readonly #options: TlsOptions;
  #config: ServerConfig;
  #current: Credentials;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: TlsOptions, current: Credentials) {
    this.#options = options;
    this.#config = options.config;
    this.#current = current;
  }

  /** Reads what there is, and makes what is missing. Throws `invalid_config`, naming file and reason. */
  static async open(options: TlsOptions): Promise<Tls> {
    return new Tls(options, await load(options, options.config));
  }

  get current(): Credentials {
    return this.#current;
  }

  /** Whole days for which the certificate is still good. */
  get daysLeft(): number {
    const { leaf } = this.#current;
    return Math.floor((leaf.validToDate.getTime() - this.#options.now().getTime()) / (24 * 60 * 60 * 1000));
  }

  /** Whether the certificate is good for a name. */
  isNamed(name: string): boolean {
    return isIP(name) === 0 && this.#current.leaf.checkHost(name) !== undefined;
  }

  /** Reads every file anew. */
  reload(config: ServerConfig): Promise<string | undefined> {
    return this.#inTurn(() => this.#replace(config));
  }

  /** Makes a certificate of ours anew if it is time. Answers what it is then. */
  runOnce(): Promise<string | undefined> {
    return this.#inTurn(async () => {
      const { leaf } = this.#current;
      const isOwn = this.#config.tls.cert === undefined;
      const isGood = covers(leaf, listLasting(this.#config)) && !isDue(leaf, this.#options.now());
      return isOwn && !isGood ? await this.#replace(this.#config) : undefined;
    });
  }

  /** One after the other, or what was read first could be what counts last. */
  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = this.#last.then(step);
    this.#last = done.catch(() => {}); // whoever asked is told
    return done;
  }

  async #replace(config: ServerConfig): Promise<string | undefined> {
    const before = this.#current;
    const loaded = await load(this.#options, config);
    const isSame =
      before.cert === loaded.cert && before.key === loaded.key && before.clientCa === loaded.clientCa;
    if (!isSame) await this.#options.secure(loaded);
    this.#config = config;
    this.#current = loaded;
    return isSame ? undefined : describe(loaded);
  }
}

export interface TendOptions {
  readonly log: Log;
  /** Told what the certificate is from now on. */
  readonly onRenewed: (now: string) => void;
  readonly signal: AbortSignal;
}

/** Renews certificates until the signal is aborted, and warns each day of one that only its operator can renew. */
export async function tendTls(tls: Tls, { log, onRenewed, signal }: TendOptions): Promise<void> {
  for (let warned = WARNED_DAYS; ; await delay(EVERY, signal)) {
    try {
      const renewed = await tls.runOnce();
      if (renewed !== undefined) onRenewed(renewed);
    } catch (error) {
      log.error("certificate not renewed", { error: describeError(error) });
    }
    const { daysLeft } = tls;
    if (daysLeft < warned)
      log.warn("certificate runs out: replace it, then farhandd reload", { days: daysLeft });
    warned = Math.min(daysLeft, WARNED_DAYS);
  }
}

function describe({ pin, leaf, clientCa }: Credentials): string {
  const until = leaf.validToDate.toISOString().slice(0, 10);
  return `${pin}, good until ${until}${clientCa === undefined ? "" : ", and clients need one too"}`;
}

async function load({ directory, now }: TlsOptions, config: ServerConfig): Promise<Credentials> {
  const { cert, key, clientCa: path } = config.tls;
  const clientCa = path && readCertificates({ path, what: "client CA" }, now()).map(String).join("");
  if (cert !== undefined && key !== undefined) return { ...readPair(cert, key, now()), clientCa };
  const names = [...new Set([...listLasting(config), ...listMachineAddresses()])];
  return { ...(await openOwnPair({ directory, names, now: now() })), clientCa };
}

/** What a certificate of ours is always good for; addresses of the machine come and go while it runs. */
function listLasting(config: ServerConfig): string[] {
  return [...new Set([...listNames(config), "127.0.0.1", "::1"])];
}
