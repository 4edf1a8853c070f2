import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import { DEFAULT_KEEP_BYTES, MAX_ARGV } from "../protocol/limits.ts";
import { KeepOutput, Terms } from "../protocol/terms.ts";
import { type CliValues, defineBackground } from "./define.ts";
import { keepArg, termsArgs, toKeepOutput, toTerms } from "./terms.ts";
import { parseAssignment, Text, Variables } from "./variables.ts";

export const exec = defineBackground({
  name: "exec",
  summary: "Run a program, stream its output, and exit with its code",
  permission: "exec",
  idempotent: false,
  confidential: ["env", "secrets"],
  input: v.pipe(
    v.object({
      /** The program and its arguments, passed on exactly. */
      argv: v.optional(
        v.pipe(v.array(Text), v.minLength(1), v.maxLength(MAX_ARGV, `has more than ${MAX_ARGV} words`)),
      ),
      /** A command line for the system's shell, instead of `argv`. */
      shell: v.optional(Text),
      /** The user's login shell, instead of `argv`. */
      login: v.optional(v.boolean(), false),
      cwd: v.optional(Text),
      env: v.optional(Variables, {}),
      /** Variables too, whose values stand in no record: where the argv holds one, it is recorded as `***`. */
      secrets: v.optional(Variables),
      /** Start from an empty environment. */
      clearEnv: v.optional(v.boolean(), false),
      /** Give the program a stdin; without, it is empty. */
      stdin: v.optional(v.boolean(), false),
      /** One pipe for stdout and stderr, so that their order is exact. */
      merge: v.optional(v.boolean(), false),
      /** Bytes of output to keep. */
      keepOutput: v.optional(KeepOutput, DEFAULT_KEEP_BYTES),
      ...Terms.entries,
    }),
    v.check(
      ({ argv, shell, login }) =>
        [argv !== undefined, shell !== undefined, login].filter(Boolean).length === 1,
      "must have either argv, shell or login",
    ),
  ),

  toProgram(
    { argv, shell, login, cwd, env, secrets = {}, clearEnv, stdin, merge, keepOutput, ...terms },
    context,
  ) {
    const { terminal } = terms;
    const what = login ? context.toLoginShell() : { argv: argv ?? context.toShell(shell ?? "") };
    return {
      ...what,
      cwd: context.workspace.resolve(cwd ?? "."),
      env: {
        ...(clearEnv ? {} : context.workspace.environment),
        ...(terminal && { TERM: terminal.term }),
        ...env,
        ...secrets,
      },
      secrets: Object.values(secrets),
      stdin: stdin || terminal !== undefined,
      merge,
      keepBytes: keepOutput === "all" ? undefined : keepOutput,
      terms,
    };
  },

  cli: {
    args: {
      detach: { type: "boolean", alias: "d", description: "Print the job's id and leave it running" },
      tty: { type: "boolean", alias: "t", description: "Run it on a terminal, and make ours that one" },
      escape: {
        type: "string",
        valueHint: "char|none",
        description:
          "With -t: begins commands to farhand at the beginning of a line (default ~; ~? lists them)",
      },
      shell: {
        type: "string",
        valueHint: "line",
        description: "Run this command line in the server's shell (/bin/sh, cmd.exe)",
      },
      cwd: {
        type: "string",
        valueHint: "dir",
        description: "Working directory, counted from the workspace's (default: that one)",
      },
      env: {
        type: "string",
        alias: "e",
        valueHint: "NAME=VALUE",
        multiple: true,
        description: "Set a variable; may be repeated",
      },
      secret: {
        type: "string",
        valueHint: "NAME[=@FILE|=-|=VALUE]",
        multiple: true,
        description:
          "Set a variable that no record shows, to what it is here, to what a file or stdin (-) holds, or to a value, which ps shows here; may be repeated",
      },
      "clear-env": { type: "boolean", description: "Start from an empty environment" },
      stdin: {
        type: "boolean",
        description: "Read stdin (the default unless detached); --no-stdin gives an empty one",
      },
      "open-stdin": {
        type: "boolean",
        description: "Leave its input open for send-input, and do not read ours",
      },
      merge: { type: "boolean", description: "One pipe for stdout and stderr: exact order, all on stdout" },
      "keep-output": keepArg,
      ...termsArgs,
    },
    rest: "PROGRAM [ARGUMENT ...]",
    takesRest: true,
    examples: [
      ["farhand exec -- make test", "stream, separate stdout and stderr, exit with its code"],
      ["farhand exec --shell 'ls *.log | wc -l'", "a command line, read by the server's shell"],
      [
        "farhand exec -t -- vi notes.txt",
        "on a terminal; ~? at the beginning of a line tells how to leave it",
      ],
      [
        "farhand exec --secret API_KEY -- ./deploy.sh",
        "with a variable that we have, whose value no log and no record shows",
      ],
      ["farhand exec -d -- ./soak.sh", "print the job's id, leave it running"],
      [
        "farhand exec -d --max-exec-time 1h --label nightly=yes -- ./soak.sh",
        "at most an hour, found by its label",
      ],
      ["tar c . | farhand -H web1 exec -- tar x -C /srv", "binary-clean stdin, end of input and exit code"],
    ],
    toInput(values) {
      return {
        ...toProgramInput(values),
        ...(values.text("cwd") !== undefined && { cwd: values.text("cwd") }),
        env: Object.fromEntries(values.list("env").map((text) => parseAssignment(text, "--env"))),
        clearEnv: values.flag("clear-env"),
        merge: values.flag("merge"),
        ...toTerms(values),
        ...toKeepOutput(values),
      };
    },
  },
});

function toProgramInput(values: CliValues): { argv?: string[]; shell?: string } {
  const shell = values.text("shell");
  if (shell === undefined && values.rest.length === 0) {
    throw new AppError("invalid_input", "Cannot run nothing: name a program, as in farhand exec -- uname -a");
  }
  if (shell !== undefined && values.rest.length > 0) {
    throw new AppError("invalid_input", "Cannot run both --shell and a program: give one of them");
  }
  return shell === undefined ? { argv: [...values.rest] } : { shell };
}
