/** What a word may go on as. */
export interface Candidate {
  /** The whole word. */
  readonly value: string;
  /** How much of it, as of `--cwd=/srv`, is no part of the value: it needs no quotes. */
  readonly prefix?: string;
  readonly description?: string;
  /** The word goes on behind it, as behind a directory. */
  readonly isOpen?: boolean;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** It is a file of this machine, which the shell knows better. */
  readonly isLocal?: boolean;
}
