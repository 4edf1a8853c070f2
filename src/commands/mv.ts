import * as v from "valibot";
import { FileName, toBytes, toFileName } from "../protocol/path.ts";
import { defineStream } from "./define.ts";
import { forEach } from "./each.ts";
import { showName } from "./paths.ts";
import { toTransfer, transferArgs, transferEntries } from "./transfer.ts";

export const mv = defineStream({
  name: "mv",
  summary: "Move or rename files and directories",
  permission: "write",
  idempotent: false,
  asUser: true,
  input: v.object(transferEntries),
  positional: ["from", "to"],
  /** `kept`: something was there, and nothing was moved. */
  event: v.object({ from: FileName, to: FileName, kept: v.boolean() }),
  result: v.object({ moved: v.number() }),

  async *run({ from, to, noClobber }, { files, signal }) {
    let moved = 0;
    const how = { into: from.length > 1, keep: noClobber };
    const act = async (path: Uint8Array) => {
      const { to: goal, kept } = await files.move(path, toBytes(to), how, signal);
      if (!kept) moved++;
      return { from: toFileName(path), to: toFileName(goal), kept };
    };
    yield* forEach({ action: "move", paths: from, signal, act });
    return { moved };
  },

  cli: {
    args: transferArgs,
    rest: "SOURCE ... TARGET",
    examples: [
      ["farhand mv draft.txt final.txt", "a new name; a file that had it is replaced"],
      ["farhand mv a b c dir", "several into a directory"],
      ["farhand mv -n new.log old.log", "unless old.log is there"],
    ],
    toInput: toTransfer,
    show: ({ from, to, kept }) =>
      kept
        ? `Left alone ${showName(from)}: ${showName(to)} is there already`
        : `Moved ${showName(from)} to ${showName(to)}`,
  },
});
