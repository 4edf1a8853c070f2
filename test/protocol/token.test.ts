import { describe, expect, test } from "bun:test";
import { createSeed, signWith, toPublicKey } from "../../src/lib/ed25519.ts";
import { AppError } from "../../src/protocol/error.ts";
import { MAX_TOKEN_LINKS } from "../../src/protocol/limits.ts";
import {
  createToken,
  findChain,
  findToken,
  formatToken,
  narrowToken,
  type Token,
} from "../../src/protocol/token.ts";

function setup() {
  const token = createToken();
  const root = toPublicKey(token.seed);
  return { token, root };
}

describe("A token", () => {
  test("is different each time: 256 bits behind an id, and reads as it was written", () => {
    const texts = Array.from({ length: 100 }, () => formatToken(createToken()));
    expect(new Set(texts.map((text) => text.slice(20))).size).toBe(100);
    for (const text of texts) {
      expect(text).toMatch(/^fh_[0-9a-f]{16}_[\w-]{43}$/);
      expect(formatToken(findToken(text) as Token)).toBe(text);
    }
  });

  test("leads from its own public key only", () => {
    const { token, root } = setup();
    expect(findChain(token, root)).toEqual({ restrictions: [], keys: [] });
    expect(findChain(token, toPublicKey(createSeed()))).toBeUndefined();
    expect(findChain(token, new Uint8Array(32))).toBeUndefined();
    expect(findChain(token, new Uint8Array(3))).toBeUndefined();
  });

  test.each([
    "",
    "fh_",
    "fh_0123456789abcdef",
    `fh_0123456789abcde_${"a".repeat(43)}`,
    `fh_0123456789abcdef_${"a".repeat(42)}b`,
    `fh_0123456789abcdef_${"a".repeat(9_000)}`,
  ])("is not %p", (text) => {
    expect(findToken(text)).toBeUndefined();
  });
});

describe("A narrowed token", () => {
  test("says what it may do less, link by link, and survives being written down", () => {
    const { token, root } = setup();
    const once = narrowToken(token, { commands: ["exec"], argv: [["git", "fetch", "*"]] });
    const twice = narrowToken(once, { uses: 2, roots: ["/srv/app"], expires: 2_000_000_000 });
    const read = findToken(formatToken(twice)) as Token;
    const chain = findChain(read, root);
    expect(chain?.restrictions).toEqual([
      { commands: ["exec"], argv: [["git", "fetch", "*"]] },
      { uses: 2, roots: ["/srv/app"], expires: 2_000_000_000 },
    ]);
    expect(chain?.keys).toHaveLength(2);
    expect(chain?.keys[0]).toEqual(toPublicKey(once.seed));
  });

  test("does not tell the keys that came before it", () => {
    const { token } = setup();
    const text = formatToken(narrowToken(token, { uses: 1 }));
    expect(text).not.toContain(token.seed.toString("base64url"));
    expect(Buffer.from(text).includes(token.seed)).toBe(false);
  });

  test("cannot be widened: no link left out, changed, exchanged, added or taken from another token", () => {
    const { token, root } = setup();
    const narrowed = narrowToken(narrowToken(token, { commands: ["ping"] }), { uses: 1 });
    const [first, second] = narrowed.links as [Buffer, Buffer];
    const other = narrowToken(createToken(), {});
    const flipped = Array.from({ length: first.length }, (_, index) => {
      const bytes = Buffer.from(first);
      bytes[index] = (bytes[index] ?? 0) ^ 1;
      return [bytes, second];
    });
    const forged = Buffer.from(
      JSON.stringify({ key: toPublicKey(narrowed.seed).toString("base64url"), restrict: {} }),
    );
    const resigned = Buffer.concat([signWith(narrowed.seed, forged), forged]);
    const chains = [
      [],
      [first],
      [second],
      [second, first],
      [first, first, second],
      [first, second, second],
      [first, second, resigned],
      [resigned],
      [...other.links],
      ...flipped,
    ];
    for (const links of chains) expect(findChain({ ...narrowed, links }, root)).toBeUndefined();
    expect(findChain({ ...narrowed, id: createToken().id }, root)).toBeUndefined();
    expect(findChain(narrowed, root)).toBeDefined();
  });

  test("with a part that is not known here means nothing: that part might forbid everything", () => {
    const { token, root } = setup();
    const seed = createSeed();
    const key = toPublicKey(seed).toString("base64url");
    const sign = (content: unknown) => {
      const payload = Buffer.from(JSON.stringify(content));
      const signed = Buffer.concat([Buffer.from(`farhand token link v1\0${token.id}\0`), payload]);
      return { ...token, links: [Buffer.concat([signWith(token.seed, signed), payload])], seed };
    };
    expect(findChain(sign({ key, restrict: { uses: 1 } }), root)).toBeDefined();
    for (const content of [
      { key, restrict: { sudo: false } },
      { key, restrict: {}, more: 1 },
      { key },
      { restrict: {} },
      { key: "AA", restrict: {} },
      null,
      [],
    ])
      expect(findChain(sign(content), root)).toBeUndefined();
  });

  test("is refused where it would be too long, or narrowed too often, or by nonsense", () => {
    let { token } = setup();
    for (let count = 0; count < MAX_TOKEN_LINKS; count++) token = narrowToken(token, { uses: 1 });
    expect(() => narrowToken(token, { uses: 1 })).toThrow(AppError);
    expect(() =>
      narrowToken(createToken(), { commands: Array.from({ length: 60 }, () => "x".repeat(200)) }),
    ).toThrow("characters");
    expect(() => narrowToken(createToken(), { uses: 0 })).toThrow();
  });
});
