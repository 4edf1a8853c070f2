import { randomBytes } from "node:crypto";
import { AppError } from "../../protocol/error.ts";
import type { Turnstile } from "./turnstile.ts";

/** Characters of a password that alone lets somebody in, at least (NIST SP 800-63B-4, 3.1.1.2), and bytes at most. */
const MIN_CHARACTERS = 15;
const MAX_BYTES = 1024;

/** More than the least that OWASP asks for; one takes 64 MiB and a fifth of a second. */
const COST = { algorithm: "argon2id", memoryCost: 65_536, timeCost: 2 } as const;

/** Throws `invalid_input` for a password that nobody should have. */
export function checkPassword(password: string): void {
  const fault = findFault(password);
  if (fault !== undefined) throw new AppError("invalid_input", `Cannot use the password: ${fault}`);
}

function findFault(password: string): string | undefined {
  if (Buffer.byteLength(password) > MAX_BYTES) return `it has more than ${MAX_BYTES} bytes`;
  if ([...password].length < MIN_CHARACTERS)
    return `it has fewer than ${MIN_CHARACTERS} characters; take a sentence, or let a password manager make it`;
  return new Set(password).size < 4 ? "it has fewer than four different characters" : undefined;
}

/** What is kept of a password. */
export function hashPassword(password: string): Promise<string> {
  return Bun.password.hash(normalize(password), COST);
}

/** Compares passwords with what is kept of them, a few at a time. */
export class Passwords {
  readonly #turnstile: Turnstile;
  #nobody: Promise<string> | undefined;

  constructor(turnstile: Turnstile) {
    this.#turnstile = turnstile;
  }

  /** Whether it is his; false for nobody, after the same work. Throws `too_many`. */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    if (Buffer.byteLength(password) > MAX_BYTES) return false;
    using _place = await this.#turnstile.enter();
    // Made before anybody is compared, so that the first one takes no longer for being unknown.
    this.#nobody ??= hashPassword(randomBytes(32).toString("hex"));
    const nobody = await this.#nobody;
    const isSame = await Bun.password.verify(normalize(password), hash ?? nobody);
    return isSame && hash !== undefined;
  }
}

/** However a keyboard composes its letters. */
function normalize(password: string): string {
  return password.normalize("NFC");
}
