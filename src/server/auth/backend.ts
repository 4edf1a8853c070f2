import type { Passwords } from "./passwords.ts";
import type { Users } from "./users.ts";

/** What somebody says who wants to log in. */
export interface Claim {
  readonly user: string;
  readonly password: string;
  /** The address that he comes from, or `unix`. */
  readonly source: string;
}

/** Somebody who has proved who he is. */
export interface Admitted {
  readonly user: string;
  readonly roles: readonly string[];
  /** What is kept of the password that he gave, where we keep it. */
  readonly hash?: string;
}

/** What decides who may log in. */
export interface Backend {
  /** Answers undefined for an unknown user and for a wrong password alike. Throws `too_many`. */
  check(claim: Claim): Promise<Admitted | undefined>;
}

/** The users in `auth.db` and their passwords. */
export function createTable(users: Pick<Users, "find">, passwords: Passwords): Backend {
  return {
    async check({ user: name, password }) {
      const user = users.find(name);
      const isHis = await passwords.verify(password, user?.hash);
      return user && isHis ? { user: name, roles: user.roles, hash: user.hash } : undefined;
    },
  };
}
