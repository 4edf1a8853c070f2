import * as v from "valibot";
import { FileName, type FilePath, toFileName } from "../protocol/path.ts";
import type { Creation } from "./access/writing.ts";
import type { CommandContext } from "./context.ts";
import { type CliArg, type CliValues, defineStream } from "./define.ts";
import { forEach } from "./each.ts";
import { Mode, toModeNumber } from "./mode.ts";
import { FilePaths, pathArgs, showName, toPaths } from "./paths.ts";

const paths = v.pipe(FilePaths, v.minLength(1, "names no path"));
const result = v.object({ created: v.number() });

/** A directory that was made, or that was there and will do. */
const Made = v.object({ ...FileName.entries, created: v.boolean() });
type Made = v.InferOutput<typeof Made>;

const modeArg = {
  mode: {
    type: "string",
    alias: "m",
    valueHint: "octal",
    description: "Exactly this mode, such as 0750 (default: what the server's umask leaves of 0777)",
  },
} as const satisfies Record<string, CliArg>;

export const mkdir = defineStream({
  name: "mkdir",
  summary: "Make directories",
  permission: "write",
  idempotent: false,
  asUser: true,
  input: v.object({
    paths,
    /** Those that they are in too; one that is there already will do. */
    parents: v.optional(v.boolean(), false),
    mode: v.optional(Mode),
  }),
  positional: ["paths"],
  event: Made,
  result,

  async *run({ paths, parents, mode }, context) {
    return yield* make(paths, { parents, mayExist: parents, mode: toModeNumber(mode) }, context);
  },

  cli: {
    args: {
      parents: {
        type: "boolean",
        alias: "p",
        description: "Also those that they are in; one that is there already will do",
      },
      ...modeArg,
      ...pathArgs,
    },
    rest: "PATH ...",
    examples: [
      ["farhand mkdir logs", "fails if something is there"],
      ["farhand mkdir -p srv/app/logs", "with all that it is in"],
      ["farhand mkdir -m 0700 secret", "for its owner only"],
    ],
    toInput: (values) => ({ ...toCommon(values), parents: values.flag("parents") }),
    show,
  },
});

/** The older spelling of `mkdir -p`, which refuses what is there already unless told otherwise. */
export const mkdirs = defineStream({
  name: "mkdirs",
  summary: "Make directories with all that they are in",
  permission: "write",
  idempotent: false,
  asUser: true,
  input: v.object({
    paths,
    /** A directory that is there already will do. */
    existOk: v.optional(v.boolean(), false),
    mode: v.optional(Mode),
  }),
  positional: ["paths"],
  event: Made,
  result,

  async *run({ paths, existOk, mode }, context) {
    return yield* make(paths, { parents: true, mayExist: existOk, mode: toModeNumber(mode) }, context);
  },

  cli: {
    args: {
      "exist-ok": { type: "boolean", description: "A directory that is there already will do" },
      ...modeArg,
      ...pathArgs,
    },
    rest: "PATH ...",
    examples: [
      ["farhand mkdirs srv/app/logs", "fails if that is there, as mkdir -p does not"],
      ["farhand mkdirs --exist-ok srv/app/logs", "the same as mkdir -p"],
    ],
    toInput: (values) => ({ ...toCommon(values), existOk: values.flag("exist-ok") }),
    show,
  },
});

async function* make(
  paths: readonly FilePath[],
  how: Creation,
  { files, signal }: CommandContext,
): AsyncGenerator<Made, { created: number }, void> {
  let created = 0;
  async function* act(path: Uint8Array): AsyncGenerator<Made, void, void> {
    const made = await files.makeDirectory(path, how);
    created += made.length;
    for (const one of made) yield { ...toFileName(one), created: true };
    if (made.length === 0) yield { ...toFileName(path), created: false };
  }
  yield* forEach({ action: "make", paths, signal, act });
  return { created };
}

function toCommon(values: CliValues) {
  const mode = values.text("mode");
  return { paths: toPaths(values), ...(mode !== undefined && { mode }) };
}

function show(made: Made): string {
  return `${made.created ? "Created directory" : "Exists already"}: ${showName(made)}`;
}
