import { afterAll, beforeAll, describe, expect } from "bun:test";
import { connect as connectPlain, createServer as createPlain } from "node:net";
import { createServer } from "node:tls";
import type { Target } from "../../src/client/config.ts";
import { dial } from "../../src/client/dial.ts";
import { parseHost } from "../../src/client/host.ts";
import { ask } from "../../src/client/request.ts";
import type { Trust } from "../../src/client/trust.ts";
import { Pin } from "../../src/protocol/pin.ts";
import * as v from "valibot";
import { findOpensslFault } from "../support/certificates.ts";
import { createIssuer, type Issued } from "../support/issued.ts";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { openFakeServer } from "../support/fake-server.ts";
import { testIf } from "../support/test-if.ts";

const never = new AbortController().signal;
const fault = findOpensslFault();
const testTls = testIf(fault === undefined, fault ?? "");

const directory = openDirectory();
const issue = createIssuer(directory.path);
let made: Record<
  "authority" | "good" | "self" | "other" | "expired" | "future" | "renewed" | "changed",
  Issued
>;

beforeAll(() => {
  if (fault !== undefined) return;
  const authority = issue("authority", { isAuthority: true });
  const self = issue("self");
  made = {
    authority,
    self,
    good: issue("good", { by: authority }),
    other: issue("other", { by: authority, names: "DNS:other.example" }),
    expired: issue("expired", { until: "2021-01-01" }),
    future: issue("future", { from: "2090-01-01" }),
    renewed: issue("self", { keyOf: self, names: "DNS:elsewhere.example" }),
    changed: issue("self"),
  };
});
afterAll(() => directory[Symbol.dispose]());

const toPinned = ({ pin }: Issued): Trust => ({ type: "pin", pin: v.parse(Pin, pin) });
const byAuthority = (): Trust => ({ type: "ca", file: made.authority.cert });

/** A server with this certificate, and what comes of a connection to it. */
async function meet(
  shown: Issued,
  trust: Trust | undefined,
  more: Partial<Target> = {},
  tls: Bun.TLSOptions = {},
) {
  await using server = openFakeServer({ tls: { ...shown.tls, ...tls }, token: "secret" });
  const target = { host: parseHost(server.url), token: "secret", isLocal: false, trust, ...more };
  const upgrade = async () => {
    await using session = await dial(() => target, { signal: never });
    return await session.call("ping", {});
  };
  const request = async () => (await ask(target, "/v1/x", { signal: never })).status;
  return await Promise.all([upgrade(), request()].map((work) => work.catch((error: unknown) => error)));
}

const isTrusted = [{}, 426];
const refusal = (reason: string, sentence: string | RegExp) => {
  const refused = expect.objectContaining({
    code: "untrusted",
    message:
      typeof sentence === "string" ? expect.stringContaining(sentence) : expect.stringMatching(sentence),
    details: expect.objectContaining({ reason }),
  });
  return [refused, refused];
};

describe("A server with TLS is trusted", () => {
  testTls("where the authority of a file vouches for it", async () => {
    expect(await meet(made.good, byAuthority())).toEqual(isTrusted);
  });

  testTls("by its key alone, whoever signed for it and whatever it is called, which is kept", async () => {
    for (const shown of [made.self, made.good, made.other]) {
      const kept: string[] = [];
      expect(await meet(shown, toPinned(shown), { keep: (pem) => void kept.push(pem) })).toEqual(isTrusted);
      expect(kept.map((pem) => pem.trim())).toEqual([shown.tls.cert.trim(), shown.tls.cert.trim()]);
    }
  });

  testTls("by a certificate that was kept, without another look at it", async () => {
    const kept: string[] = [];
    const trust = { ...toPinned(made.self), certificate: made.self.tls.cert } as Trust;
    expect(await meet(made.self, trust, { keep: (pem) => void kept.push(pem) })).toEqual(isTrusted);
    expect(kept).toEqual([]);
  });

  testTls("with another certificate of the same key, which replaces the one that was kept", async () => {
    for (const before of [made.self, issue("self", { keyOf: made.self, until: "2021-01-01" })]) {
      const kept: string[] = [];
      const trust = { ...toPinned(made.self), certificate: before.tls.cert } as Trust;
      expect(await meet(made.renewed, trust, { keep: (pem) => void kept.push(pem) })).toEqual(isTrusted);
      expect(kept[0]?.trim()).toBe(made.renewed.tls.cert.trim());
    }
  });

  testTls("and told apart from one that is out of reach, which may come back", async () => {
    const trusts = [toPinned(made.self), { ...toPinned(made.self), certificate: made.self.tls.cert }];
    for (const trust of [undefined, byAuthority(), ...trusts]) {
      const target = { host: parseHost("https://127.0.0.1:1"), token: undefined, isLocal: false, trust };
      const refused = { code: "connection_refused", message: expect.stringContaining("is farhandd running") };
      await expect(dial(() => target, { signal: never })).rejects.toMatchObject(refused);
      await expect(ask(target, "/healthz", { signal: never })).rejects.toMatchObject(refused);
    }
  });

  testTls("that wants a certificate of ours, if we have one", async () => {
    const own = issue("me", { by: made.authority, names: "DNS:me" });
    const wanted = { requestCert: true, rejectUnauthorized: true, ca: made.authority.tls.cert };
    const client = { certificate: own.cert, key: own.key };
    expect(await meet(made.good, byAuthority(), { client }, wanted)).toEqual(isTrusted);
    expect(await meet(made.good, toPinned(made.good), { client }, wanted)).toEqual(isTrusted);
    const none = refusal("client_certificate", "--client-cert");
    expect(await meet(made.good, byAuthority(), {}, wanted)).toEqual(none);
    expect(await meet(made.good, toPinned(made.good), {}, wanted)).toEqual(none);
    const foreign = { certificate: made.self.cert, key: made.self.key };
    for (const error of await meet(made.good, byAuthority(), { client: foreign }, wanted))
      expect(error).toMatchObject({ message: expect.stringContaining("not accept our certificate") });
  });
});

describe("A server with TLS is refused, with the reason and what to do", () => {
  testTls("whose certificate is self-signed", async () => {
    const sentence = `self-signed, so that nobody vouches for it; if farhandd fingerprint there prints ${made.self.pin}`;
    expect(await meet(made.self, undefined)).toEqual(refusal("self_signed", sentence));
    expect(await meet(made.self, byAuthority())).toEqual(refusal("self_signed", sentence));
  });

  testTls("whose authority nobody knows", async () => {
    expect(await meet(made.good, undefined)).toEqual(
      refusal("unknown_authority", "name the file of its authority with --ca"),
    );
    const trust: Trust = { type: "ca", file: made.self.cert };
    expect(await meet(made.good, trust)).toEqual(refusal("unknown_authority", made.self.cert));
  });

  testTls("whose certificate has expired, or is not valid yet, also where its key is known", async () => {
    for (const trust of [undefined, toPinned(made.expired)])
      expect(await meet(made.expired, trust)).toEqual(refusal("expired", "expired on 2021-01-01"));
    for (const trust of [undefined, toPinned(made.future)])
      expect(await meet(made.future, trust)).toEqual(refusal("not_yet_valid", "not valid before 2090-01-01"));
  });

  testTls("whose certificate is for other names, which are named", async () => {
    const sentence = "not for 127.0.0.1 but for other.example";
    expect(await meet(made.other, byAuthority())).toEqual(refusal("wrong_name", sentence));
  });

  testTls("whose key has changed, loudly, and it is told nothing", async () => {
    for (const certificate of [undefined, made.self.tls.cert]) {
      const trust = { ...toPinned(made.self), certificate } as Trust;
      const [error] = await meet(made.changed, trust, { name: "web1" });
      expect(error).toMatchObject({ code: "untrusted", details: { reason: "changed_key" } });
      const { message } = error as Error;
      expect(message.split("\n").length).toBeGreaterThan(4);
      for (const part of ["KEY HAS CHANGED", made.self.pin, made.changed.pin, "farhand host remove web1"])
        expect(message).toContain(part);
    }
  });

  testTls("that presents a certificate which the pinned key has signed for another", async () => {
    const intermediate = issue("authority", { isAuthority: true });
    const forged = issue("forged", { by: intermediate });
    const trust = { ...toPinned(intermediate), certificate: intermediate.tls.cert } as Trust;
    expect(await meet(forged, trust)).toEqual(refusal("changed_key", "KEY HAS CHANGED"));
  });

  testTls("that has none, or where TLS is what it has", async () => {
    await using plain = openFakeServer();
    const trusted = { token: undefined, isLocal: false, trust: toPinned(made.self) };
    const none = expect.objectContaining({
      code: "untrusted",
      message: expect.stringContaining("does not speak TLS"),
    });
    for (const trust of [undefined, toPinned(made.self)]) {
      const target = { ...trusted, trust, host: parseHost(plain.url.replace("http", "https")) };
      expect(await dial(() => target, { signal: never }).catch((error: unknown) => error)).toEqual(none);
      expect(await ask(target, "/x", { signal: never }).catch((error: unknown) => error)).toEqual(none);
    }
    await using secure = openFakeServer({ tls: made.self.tls });
    const target = { ...trusted, host: parseHost(secure.url.replace("https", "http")) };
    const only = { code: "untrusted", message: expect.stringContaining(`speaks TLS; write ${secure.url}`) };
    await expect(dial(() => target, { signal: never })).rejects.toMatchObject(only);
  });

  testTls("that speaks only a version which is not safe", async () => {
    const old = Bun.spawn(
      ["openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"].concat([
        "-cert",
        made.self.cert,
        "-key",
        made.self.key,
        "-www",
      ]),
      { stdout: "pipe", stderr: "ignore" },
    );
    try {
      const port = await findPort(old.stdout);
      for (const trust of [undefined, toPinned(made.self)]) {
        const target = {
          host: parseHost(`https://127.0.0.1:${port}`),
          token: undefined,
          isLocal: false,
          trust,
        };
        await expect(dial(() => target, { signal: never })).rejects.toMatchObject({
          code: "untrusted",
          message: expect.stringContaining("1.2 is the oldest"),
        });
      }
    } finally {
      old.kill();
    }
  });
});

/** The port on which `openssl s_server` says that it listens. */
async function findPort(stdout: ReadableStream<Uint8Array>): Promise<string> {
  let said = "";
  for await (const chunk of stdout) {
    said += new TextDecoder().decode(chunk);
    const [, port] = /^ACCEPT .*:(\d+)$/m.exec(said) ?? [];
    if (port !== undefined) return port;
  }
  throw new Error(`openssl said no port: ${said}`);
}

testTls("Whoever is not trusted is told neither the token nor anything else", async () => {
  let heard = "";
  const server = createServer({ ...made.changed.tls }, (socket) => {
    socket.on("data", (bytes) => (heard += bytes.toString()));
    socket.on("error", () => {});
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  const pinned = toPinned(made.self);
  const kept = { ...pinned, certificate: made.self.tls.cert } as Trust;
  for (const trust of [undefined, byAuthority(), pinned, kept]) {
    const target = { host: parseHost(`https://127.0.0.1:${port}`), token: "secret", isLocal: false, trust };
    await expect(dial(() => target, { signal: never })).rejects.toMatchObject({ code: "untrusted" });
    await expect(ask(target, "/x", { body: { secret: 1 }, signal: never })).rejects.toMatchObject({
      code: "untrusted",
    });
  }
  // A connection that is trusted is heard: what was not heard before was not sent.
  const target = { host: parseHost(`https://127.0.0.1:${port}`), token: "secret", isLocal: false };
  const trust = { ...toPinned(made.changed), certificate: made.changed.tls.cert } as Trust;
  const stop = new AbortController();
  const last = ask({ ...target, trust }, "/last", { signal: stop.signal }).catch(() => {});
  await eventually(() => heard !== "");
  stop.abort();
  await last;
  server.close();
  expect(heard).toStartWith("GET /last");
});

testTls("A server that changes its certificate when somebody connects is connected to", async () => {
  const before = openFakeServer({ tls: made.self.tls });
  const { port } = before;
  await before[Symbol.asyncDispose]();
  const trust = { ...toPinned(made.self), certificate: made.self.tls.cert } as Trust;
  const address = parseHost(`https://127.0.0.1:${port}`);
  await using stack = new AsyncDisposableStack();
  let attempts = 0;
  const host = {
    ...address,
    // Each attempt asks where to: the server is back in time for the second.
    get channel() {
      if (++attempts === 2) stack.use(openFakeServer({ tls: made.self.tls, port }));
      return address.channel;
    },
  };
  const target = { host, token: undefined, isLocal: false, trust };
  await using session = await dial(() => target, { signal: never });
  expect([attempts, await session.call("ping", {})]).toEqual([2, {}]);
});

testTls("A connection that is reset before anything came over it is tried once more", async () => {
  await using server = openFakeServer({ tls: made.self.tls });
  let resets = 1;
  const front = createPlain((socket) => {
    socket.on("error", () => {});
    if (resets-- > 0) return socket.resetAndDestroy();
    const back = connectPlain(server.port, "127.0.0.1");
    back.on("error", () => {});
    socket.pipe(back).pipe(socket);
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  const address = front.address();
  const port = typeof address === "object" ? address?.port : 0;
  const trust = { ...toPinned(made.self), certificate: made.self.tls.cert } as Trust;
  const target = { host: parseHost(`https://127.0.0.1:${port}`), token: undefined, isLocal: false, trust };
  await using session = await dial(() => target, { signal: never });
  expect(await session.call("ping", {})).toEqual({});
  resets = 2;
  await expect(dial(() => target, { signal: never })).rejects.toMatchObject({ code: "connection_lost" });
  front.close();
});
