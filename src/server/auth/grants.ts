import type { Permission, Program } from "../../commands/define.ts";
import { AppError } from "../../protocol/error.ts";
import type { Restriction } from "../../protocol/restriction.ts";
import { toRecorded } from "../jobs/mask.ts";
import { limitTerms } from "./bounds.ts";
import { matchesAny, matchesWords } from "./pattern.ts";
import { allowsCommand, mayRunPrograms, type Role } from "./role.ts";

/** What is checked of a command, before its input is. */
export interface CheckedCommand {
  readonly name: string;
  readonly permission: Permission;
}

/** A link of a narrowed token that says how often it may be used. */
export interface LimitedLink {
  readonly link: string;
  readonly uses: number;
  /** When it can be used no more, in milliseconds since 1970; undefined for never. */
  readonly expires: number | undefined;
}

/** What looks after a job goes with `exec`, for whom narrowing left that: it reaches no jobs but those that he started with it. */
const COMPANIONS: readonly string[] = [
  "jobs",
  "wait",
  "result",
  "kill",
  "is-alive",
  "send-input",
  "job-show",
];

/**
 * Variables that a call with a narrowed token may set where that says which, and characters of a name: its bearer has written
 * the globs too, and could have us compare for seconds.
 */
const MAX_NARROWED_VARIABLES = 128;
const MAX_NARROWED_NAME = 128;

/** Whether a call counts as a use of a token that has so many only: neither looking after its jobs does, nor asking what there is. */
export function isUse(name: string): boolean {
  return !isCompanion(name) && name !== "commands";
}

/** Whether a command looks after jobs that were started already. */
function isCompanion(name: string): boolean {
  return COMPANIONS.includes(name);
}

/** What somebody may do: what one of his roles allows and nothing that his token was narrowed by forbids. */
export class Grants {
  readonly #roles: readonly Role[];
  readonly #restrictions: readonly Restriction[];

  constructor(roles: readonly Role[], restrictions: readonly Restriction[] = []) {
    this.#roles = roles;
    this.#restrictions = restrictions;
  }

  get isNarrowed(): boolean {
    return this.#restrictions.length > 0;
  }

  /** Whether jobs of others may be seen. A narrowed token sees those that were started with it, and no more. */
  get seesAllJobs(): boolean {
    return !this.isNarrowed && this.#roles.some(({ seesAllJobs }) => seesAllJobs);
  }

  /** The first of his roles that lets him run whatever he likes, so that nothing here could hold him. */
  get freeRole(): Role | undefined {
    return this.#roles.find((role) => this.isFreeAs(role));
  }

  /**
   * Whether he may give input to a job that was started in a role of this name: what it does with that, he does. Who is not
   * free as the server is, has to have that role.
   */
  mayFeed(role: string | undefined): boolean {
    return (
      this.#roles.some((one) => this.isFreeAs(one) && one.runAs === undefined) ||
      this.#roles.some(({ name }) => name === role)
    );
  }

  /** When the first of his token's links ends, in milliseconds since 1970; undefined for never. */
  get expires(): number | undefined {
    return toEnd(this.#restrictions);
  }

  /** Whether this role lets him run whatever he likes. Whoever may not is kept from all that could get him there. */
  isFreeAs(role: Role): boolean {
    return (
      mayRunPrograms(role) &&
      this.#restrictions.every(
        ({ commands, argv }) =>
          argv === undefined && (commands === undefined || matchesAny(commands, "exec")),
      )
    );
  }

  /**
   * The first role that allows a command, which then says how it is done. Throws `forbidden`. `what`: what is refused, as in
   * `stop the server`.
   */
  demandCommand({ name, permission }: CheckedCommand, what = `call "${name}"`): Role {
    const isAllowed = ({ commands }: Restriction) =>
      commands === undefined ||
      matchesAny(commands, name) ||
      (isCompanion(name) && matchesAny(commands, "exec"));
    if (!this.#restrictions.every(isAllowed))
      throw refuse(what, "your token was narrowed to other commands", { permission, command: name });
    const able = this.#roles.filter(({ permissions }) => permissions.has(permission));
    const role = able.find((role) => allowsCommand(role, name));
    if (role !== undefined) return role;
    const why = able.length === 0 ? `you lack the permission "${permission}"` : toElsewhere(permission);
    throw refuse(what, why, { permission, ...(able.length > 0 && { command: name }) });
  }

  /** The first role that allows anything at all. Throws `forbidden`. */
  demandSome(what: string): Role {
    const role = this.#roles.find(({ permissions }) => permissions.size > 0);
    if (role !== undefined) return role;
    throw refuse(what, "your roles allow nothing here", {});
  }

  /** Whether one of his roles allows a command. */
  allows(command: CheckedCommand): boolean {
    try {
      this.demandCommand(command);
      return true;
    } catch {
      return false;
    }
  }

  /** As of one command, where any of several will do; the refusal is of the first. */
  demandAny(commands: readonly [CheckedCommand, ...CheckedCommand[]], what: string): Role {
    return this.demandCommand(commands.find((command) => this.allows(command)) ?? commands[0], what);
  }

  /** Lists of directories, of each of which one must hold whatever is touched or run in; none for everywhere. */
  rootsOf(role: Role): readonly (readonly string[])[] {
    return [role.roots, ...this.#restrictions.map(({ roots }) => roots)].filter(
      (roots) => roots !== undefined,
    );
  }

  /**
   * The same of files: undefined for everywhere. Whoever may not run what he likes and has no directories touches none, since
   * what he wrote might run, and what he read might let him in.
   */
  reachOf(role: Role): readonly (readonly string[])[] | undefined {
    const lists = this.rootsOf(role);
    if (lists.length > 0) return lists;
    return this.isFreeAs(role) ? undefined : [[]];
  }

  /** Where he is at first and without a name for it: in the one directory to which he is kept, if there is only one. */
  homeOf(role: Role): string | undefined {
    const [only, ...others] = this.rootsOf(role).at(-1) ?? [];
    return others.length === 0 ? only : undefined;
  }

  /** Links that may be used only so often. `chain`: the names of all links. */
  limitedLinks(chain: readonly string[]): readonly LimitedLink[] {
    return this.#restrictions.flatMap(({ uses }, index) => {
      const link = chain[index];
      if (uses === undefined || link === undefined) return [];
      return [{ link, uses, expires: toEnd(this.#restrictions.slice(0, index + 1)) }];
    });
  }

  /** Throws `forbidden` where he may not set, unset or hide one of these variables. */
  demandVariables(role: Role, names: readonly string[], what: string): void {
    const { environment } = role;
    const kept = environment && names.find((name) => !matchesAny(environment, name));
    if (kept !== undefined)
      throw refuse(what, `role "${role.name}" does not let you set "${kept.slice(0, 200)}"`, {
        variable: kept.slice(0, 200),
      });
    for (const restriction of this.#restrictions) {
      const allowed = toVariables(restriction);
      if (allowed !== undefined && names.length > MAX_NARROWED_VARIABLES)
        throw refuse(
          what,
          `with a narrowed token at most ${MAX_NARROWED_VARIABLES} variables can be set`,
          {},
        );
      const isSet = (name: string) => name.length <= MAX_NARROWED_NAME && matchesAny(allowed ?? [], name);
      const kept = allowed && names.find((name) => !isSet(name));
      if (kept !== undefined)
        throw refuse(what, `your token was narrowed, and may not set "${kept.slice(0, 200)}"`, {
          variable: kept.slice(0, 200),
        });
    }
  }

  /** Throws `forbidden` for what is no program of his, where his token is for some programs and names no commands besides. */
  demandOwn(what: string): void {
    if (this.#restrictions.some(({ argv, commands }) => argv !== undefined && commands === undefined))
      throw refuse(what, "your token was narrowed to other programs or arguments", {});
  }

  /**
   * The program as it may be run in this role: with the limits that the role sets, where the caller asks for none. Throws
   * `forbidden` for one that may not be. `inherited`: what its workspace gives it, which it may differ from only by variables
   * that may be set.
   */
  admit(role: Role, program: Program, inherited: () => Program["env"]): Program {
    const what = `run "${(toRecorded(program)[0] ?? "").slice(0, 200)}"`;
    if (program.order !== undefined) this.demandOwn(what);
    for (const { argv } of program.order === undefined ? this.#restrictions : []) {
      const isMeant =
        argv === undefined ||
        (program.file === undefined && argv.some((words) => matchesWords(words, program.argv)));
      if (!isMeant) throw refuse(what, "your token was narrowed to other programs or arguments", {});
      // A pager or an editor there starts whatever it is told to.
      if (argv !== undefined && program.terms.terminal !== undefined)
        throw refuse(what, "your token was narrowed to programs, which get no terminal", {});
    }
    const isLimited = role.environment !== undefined || this.#restrictions.some(toVariables);
    if (isLimited) this.demandVariables(role, toDifference(program, inherited()), what);
    return { ...program, terms: limitTerms(program.terms, role, what) };
  }
}

function toEnd(restrictions: readonly Restriction[]): number | undefined {
  const moments = restrictions.flatMap(({ expires }) => expires ?? []);
  return moments.length === 0 ? undefined : Math.min(...moments) * 1_000;
}

/** Names that it lets be set: with a pattern for programs none, unless it says so, since `PATH` decides what a name means. */
function toVariables({ environment, argv }: Restriction): readonly string[] | undefined {
  return environment ?? (argv === undefined ? undefined : []);
}

/** Variables that a program would have otherwise than its workspace gives them. `TERM` comes with a terminal. */
function toDifference({ env, terms }: Program, inherited: Program["env"]): readonly string[] {
  const names = new Set([...Object.keys(env), ...Object.keys(inherited)]);
  if (terms.terminal !== undefined && env["TERM"] === terms.terminal.term) names.delete("TERM");
  const isOther = (name: string) =>
    Object.hasOwn(env, name) !== Object.hasOwn(inherited, name) || env[name] !== inherited[name];
  return [...names].filter(isOther);
}

function toElsewhere(permission: Permission): string {
  return `your roles grant the permission "${permission}" for other commands only`;
}

function refuse(what: string, why: string, details: Readonly<Record<string, unknown>>): AppError {
  return new AppError("forbidden", `Cannot ${what}: ${why}`, { details });
}
