import * as v from "valibot";
import { escapeBytes } from "../lib/escape.ts";
import { toWorkingDirectory, WorkingDirectory } from "../protocol/workspace.ts";
import { defineForeground } from "./define.ts";

export const cwd = defineForeground({
  name: "cwd",
  summary: "Tell the workspace's directory, and whether it can be used",
  permission: "read",
  idempotent: true,
  input: v.object({}),
  result: WorkingDirectory,

  async run(_input, { workspace }) {
    await workspace.checkDirectory();
    return toWorkingDirectory(workspace.cwd);
  },

  cli: {
    args: {},
    examples: [
      ["farhand cwd", "where the default workspace is"],
      ["farhand -w build cwd --json", "another one, with cwdBytes where its name is no UTF-8"],
    ],
    toInput: () => ({}),
    show: showDirectory,
  },
});

/** A directory on one line, harmless on a terminal. */
export function showDirectory({ cwd, cwdBytes }: WorkingDirectory): string {
  return escapeBytes(cwdBytes === undefined ? Buffer.from(cwd) : Buffer.from(cwdBytes, "base64"));
}
