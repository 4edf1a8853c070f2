import { writeFileSync } from "node:fs";
import type { ArgsDef } from "citty";
import { AppError } from "../../protocol/error.ts";
import { toMessage } from "../../lib/message.ts";
import { type Action, getName } from "../auth/verbs/action.ts";
import type { Flags } from "../flags.ts";
import type { Checked } from "./check.ts";

/** Those that follow one another on the command line. */
export const files: ArgsDef = {
  files: { type: "positional", valueHint: "file...", description: "Modules in TypeScript or JavaScript" },
};

const check: Action = {
  description: "Tell what modules define, or what is wrong with them, by line; each is run once",
  args: { ...files, json: { type: "boolean", description: "Print one JSON value" } },
  examples: [
    ["farhandd extension check commands/*.ts", "before farhandd reload; exits with 1 where one is wrong"],
  ],
  async run(flags, _config, { print, builder, signal }) {
    const { checkModule, describeChecked } = await import("./check.ts"); // a server that starts does not wait for it
    const all: Checked[] = [];
    for (const file of getFiles(flags)) {
      const checked = await checkModule(file, builder, signal);
      all.push(checked);
      if (!flags["json"]) print(describeChecked(checked));
    }
    if (flags["json"]) print(JSON.stringify(all));
    const wrong = all.filter(({ ok }) => !ok).length;
    if (wrong > 0)
      throw new AppError(
        "invalid_module",
        `Cannot use ${wrong} of ${all.length} modules: see what is wrong above`,
      );
  },
};

const bundle: Action = {
  description: "Make one file of a module and all that it imports, npm's packages too, to be copied alone",
  args: {
    file: { type: "positional", valueHint: "file", description: "The module" },
    output: { type: "string", valueHint: "file", description: "Write there (default: to stdout)" },
  },
  examples: [["farhandd extension bundle deploy.ts --output deploy.js", "deploy.js needs nothing beside it"]],
  async run(flags, _config, { print }) {
    const { bundle } = await import("../../module/bundle.ts");
    const { source } = await bundle(getName(flags, "file to bundle", "file"));
    const output = flags["output"];
    if (typeof output !== "string") return print(new TextDecoder().decode(source).trimEnd());
    try {
      writeFileSync(output, source);
    } catch (error) {
      throw new AppError("os_error", `Cannot write "${output}": ${toMessage(error)}`);
    }
  },
};

const init: Action = {
  description: "Write a module to begin with, a task, and the types by which an editor checks them",
  args: {
    directory: {
      type: "positional",
      required: false,
      valueHint: "dir",
      description: "Where (default: here)",
    },
    force: { type: "boolean", description: "Replace what is there of them: how farhand.d.ts is renewed" },
  },
  examples: [["farhandd extension init ~/commands", "then farhandd serve --extension ~/commands/hello.ts"]],
  async run(flags, _config, { print }) {
    const { writeStarter } = await import("../../module/starter/starter.ts");
    const directory = typeof flags["directory"] === "string" ? flags["directory"] : ".";
    for (const path of writeStarter(directory, Boolean(flags["force"]))) print(path);
  },
};

/** What can be done with modules of one's own, without a server. */
export const extensionActions = { init, check, bundle } satisfies Record<string, Action>;

function getFiles(flags: Flags): readonly string[] {
  const given = flags["files"];
  if (Array.isArray(given) && given.length > 0) return given;
  throw new AppError("invalid_input", "Cannot read the command line: say which files");
}
