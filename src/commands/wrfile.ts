import * as v from "valibot";
import { count } from "../lib/count.ts";
import { AppError } from "../protocol/error.ts";
import { FileName, FilePath, toBytes, toFileName } from "../protocol/path.ts";
import { ByteString } from "../protocol/value.ts";
import type { Manner } from "./access/writing.ts";
import { type CliValues, defineForeground } from "./define.ts";
import { Mode, toModeNumber } from "./mode.ts";
import { pathArgs, showName, toPaths } from "./paths.ts";

export const wrfile = defineForeground({
  name: "wrfile",
  summary: "Write a file",
  permission: "write",
  idempotent: false,
  asUser: true,
  takesInput: true,
  input: v.object({
    path: FilePath,
    /** What to write, if it is not sent along. */
    data: v.optional(ByteString),
    /** Behind what the file holds. Otherwise all of that is replaced at once. */
    append: v.optional(v.boolean(), false),
    /** Only if there is nothing yet. */
    exclusive: v.optional(v.boolean(), false),
    mode: v.optional(Mode),
  }),
  positional: ["path", "data"],
  confidential: ["data"],
  result: v.object({ ...FileName.entries, bytes: v.number(), created: v.boolean() }),

  async run({ path, data, append, exclusive, mode }, { files, input, signal }) {
    if (append && exclusive)
      throw new AppError(
        "invalid_input",
        "Cannot write a file that must be new behind what it holds: choose one",
      );
    const manner: Manner = append ? "append" : exclusive ? "create" : "replace";
    const content = data === undefined ? input : once(toBytes(data));
    const how = { manner, mode: toModeNumber(mode) };
    const written = await files.write(toBytes(path), content, how, signal);
    return { ...toFileName(toBytes(path)), ...written };
  },

  cli: {
    args: {
      file: {
        type: "string",
        valueHint: "file",
        description: "Write what this file here holds (default: stdin)",
      },
      append: { type: "boolean", alias: "a", description: "Behind what the file holds" },
      exclusive: { type: "boolean", alias: "x", description: "Only if there is nothing yet" },
      mode: {
        type: "string",
        alias: "m",
        valueHint: "octal",
        description: "Exactly this mode, such as 0600 (default: that of what is replaced)",
      },
      ...pathArgs,
    },
    rest: "PATH [TEXT]",
    examples: [
      ["farhand wrfile motd 'Back at noon'", "exactly this text, without a newline"],
      ["farhand wrfile app.conf < app.conf", "from stdin; readers see the old file or the new one"],
      ["farhand wrfile --file app.bin -m 0755 bin/app", "from a file here, with a mode"],
      ["echo done | farhand wrfile -a log.txt", "behind what the file holds"],
      ['farhand wrfile -x lock "$$"', "fails if something is there"],
    ],
    toInput(values) {
      const { path, text } = toWords(values);
      const mode = values.text("mode");
      return {
        path,
        ...(text !== undefined && { data: text }),
        append: values.flag("append"),
        exclusive: values.flag("exclusive"),
        ...(mode !== undefined && { mode }),
      };
    },
    toSource(values) {
      const file = values.text("file");
      if (file !== undefined) return { type: "file", path: file };
      return toWords(values).text === undefined ? { type: "stdin" } : undefined;
    },
    show: ({ bytes, ...name }) => `Wrote ${count(bytes, "byte")} to ${showName(name)}`,
  },
});

/** The path, and the text if there is one. Throws `invalid_input`. */
function toWords(values: CliValues): { readonly path: FilePath; readonly text: string | undefined } {
  const [path, text, excess] = toPaths(values);
  if (path === undefined) throw refused("PATH is missing");
  if (excess !== undefined) throw refused("there is no place for more than a path and a text");
  if (text !== undefined && typeof text !== "string") throw refused("--path-bytes is given twice");
  if (text !== undefined && values.text("file") !== undefined) throw refused("choose a text or --file");
  return { path, text };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}

function refused(what: string): AppError {
  return new AppError("invalid_input", `Cannot read the command line: ${what}`);
}
