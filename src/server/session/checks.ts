import type { CommandContext } from "../../commands/context.ts";
import type { Program } from "../../commands/define.ts";
import type { JobId } from "../../protocol/id.ts";
import type { Recorder } from "../audit/audit.ts";
import { isUse } from "../auth/grants.ts";
import type { Identity } from "../auth/identity.ts";
import type { Role } from "../auth/role.ts";
import type { Uses } from "../auth/uses.ts";
import { enclose } from "../files/enclosure.ts";
import type { Files } from "../files/files.ts";
import type { Login } from "../logins/login.ts";
import type { Delegate } from "../runners/delegate.ts";

export interface ChecksOptions {
  readonly identity: Identity;
  /** Takes down what is called, before it is done, and what came of it, before it is answered. */
  readonly recorder: Recorder;
  readonly files: Pick<Files, "confine">;
  readonly delegate: Pick<Delegate, "confine">;
  readonly uses: Pick<Uses, "spend">;
}

/** In which role something is to be done, and as whom. */
export interface Doing {
  readonly role: Role;
  readonly login: Login | undefined;
  /** Of the call. */
  readonly signal: AbortSignal;
}

/** What stands between what somebody calls and its being done: what he may, and that it is taken down. */
export class Checks {
  readonly #options: ChecksOptions;

  constructor(options: ChecksOptions) {
    this.#options = options;
  }

  /** Throws `unavailable` for a call that cannot be recorded where nothing may be done unrecorded. */
  record(call: number, command: string, fields: object): void {
    const { recorder } = this.#options;
    recorder.note("call", { call, command, ...fields });
    recorder.commit(`call "${command}"`);
  }

  /** Counts one use of a token that has so many only; looking after its own jobs is none. Throws `forbidden`. */
  spend(name: string, job: JobId | undefined): void {
    const { identity, uses } = this.#options;
    if (isUse(name)) uses.spend(identity, job, `call "${name}"`);
  }

  /** The program as his role and his token let the caller run it. Throws `forbidden`. */
  admit(role: Role, program: Program, { workspace }: Pick<CommandContext, "workspace">): Program {
    return this.#options.identity.grants.admit(role, program, () => workspace.environment);
  }

  /** The same where they let him run it. Throws `forbidden`. */
  enclose<P extends Pick<Program, "argv" | "cwd">>(
    { role, login, signal }: Doing,
    program: P,
  ): P | Promise<P> {
    const { identity, files, delegate } = this.#options;
    const roots = identity.grants.rootsOf(role);
    if (roots.length === 0) return program;
    return enclose(
      program,
      login ? delegate.confine(login, { identity, role }, signal) : files.confine(roots),
    );
  }
}
