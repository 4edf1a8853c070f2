import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Permission } from "../commands/define.ts";
import type { Permissions } from "./permission.ts";

const ALL = ["read", "write", "exec", "control", "power"] as const satisfies readonly Permission[];

/** 256 random bits, with a prefix by which secret scanners know it. */
export function createToken(): string {
  return `fh_${randomBytes(32).toString("base64url")}`;
}

/** Answers who presents a token, in the same time whatever is wrong with it. Only the digest is kept. */
export function openAuthenticator(token: string): (presented: string | undefined) => string | undefined {
  const expected = digest(token);
  return (presented) => (timingSafeEqual(expected, digest(presented ?? "")) ? "local" : undefined);
}

/** What a caller may do: whoever holds the token of this start, everything, and nobody else anything. */
export function findPermissions(owner: string): Permissions {
  return new Set(owner === "local" ? ALL : []);
}

/** The token of an `Authorization: Bearer` header. */
export function toBearer(header: string | undefined): string | undefined {
  return /^Bearer ([\w-]+)$/i.exec(header ?? "")?.[1];
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
