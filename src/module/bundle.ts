import { statSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import * as v from "valibot";
import { toMessage } from "../lib/message.ts";
import { findApart, Metafile } from "./apart.ts";
import { type Problem, toModuleError } from "./problem.ts";
import { listWanted } from "./wanted.ts";

/** A module as one file of JavaScript that needs nothing beside it but `farhand`. */
export interface Bundle {
  /** UTF-8. */
  readonly source: Uint8Array;
  /** Of the source: SHA-256 as hex. */
  readonly hash: string;
  readonly warnings: readonly string[];
  /** The files that it was made of, absolute. */
  readonly inputs: readonly string[];
}

/** What a module may be as source. */
const MAX_BUNDLE_BYTES = 24 * 1024 * 1024;

const LANGUAGES = /\.[cm]?[tj]sx?$/;

const SourceMap = v.object({
  sources: v.array(v.string()),
  sourcesContent: v.array(v.string()),
  mappings: v.string(),
  names: v.array(v.string()),
});

/**
 * Bundles a module with all that it imports, npm's packages from a `node_modules` beside it or above included. Nothing of it
 * is run, nor of what lies in the working directory. Throws `invalid_module`, which names file, line and column.
 */
export async function bundle(file: string): Promise<Bundle> {
  const path = resolve(file);
  const refuse = (...problems: Problem[]) => toModuleError(file, problems);
  const fault = findFault(path);
  if (fault !== undefined) throw refuse({ message: fault });
  const result = await build(path).catch((error: unknown) => {
    throw refuse({ message: toMessage(error) });
  });
  const told = result.logs.map((log) => ({ level: log.level, problem: toProblem(log) }));
  const errors = told.filter(({ level }) => level === "error").map(({ problem }) => problem);
  if (!result.success) throw refuse(...errors);
  const { inputs } = v.parse(Metafile, result.metafile);
  const [main, ...others] = result.outputs.filter(({ kind }) => kind !== "sourcemap");
  const apart = others.map((output) => findApart(output.path, inputs)).filter((found) => found !== undefined);
  if (main === undefined || others.length > 0)
    throw refuse(...(apart.length > 0 ? apart : [{ message: "it does not become one file" }]));
  const source = await finish(main, dirname(path));
  if (source.length > MAX_BUNDLE_BYTES)
    throw refuse({ message: `it takes ${source.length} bytes bundled, of at most ${MAX_BUNDLE_BYTES}` });
  return {
    source,
    hash: digest(source),
    warnings: told.filter(({ level }) => level === "warning").map(({ problem }) => problem.message),
    inputs: Object.keys(inputs).map((name) => resolve(name)),
  };
}

function findFault(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return "there is no such file";
  if (!found.isFile()) return "it is no file";
  return LANGUAGES.test(path)
    ? undefined
    : "it is neither TypeScript nor JavaScript, as far as its name tells";
}

/** The name of a bundle that is its content. */
export function digest(source: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(source).digest("hex");
}

async function build(path: string): Promise<Bun.BuildOutput> {
  const options = {
    entrypoints: [path],
    target: "bun" as const,
    format: "esm" as const,
    external: ["farhand"],
    sourcemap: "external" as const,
    // Comments would tell where each file lies.
    minify: { whitespace: true },
    metafile: true,
    throw: false,
    // Packages ask for it; it must not be what this process happens to have.
    define: { "process.env.NODE_ENV": JSON.stringify("production") },
    jsx: { development: false },
    // Its types do not know this one: a macro would run while we bundle, as whoever does.
    macros: false,
  };
  return await Bun.build(options);
}

/** With its map in it, of names as from the module itself: so it is the same bundle from wherever it is bundled. */
async function finish(output: Bun.BuildArtifact, directory: string): Promise<Uint8Array> {
  const code = (await output.text()).replace(/\s*\/\/# debugId=\w+\s*$/, "");
  const { sources, sourcesContent, mappings, names } = v.parse(SourceMap, await output.sourcemap?.json());
  const map = {
    version: 3,
    sources: sources.map((name) => relative(directory, resolve(name)).replaceAll("\\", "/")),
    sourcesContent,
    mappings,
    names,
  };
  const encoded = Buffer.from(JSON.stringify(map)).toString("base64");
  return new TextEncoder().encode(`${code}\n//# sourceMappingURL=data:application/json;base64,${encoded}\n`);
}

function toProblem(log: Bun.BuildOutput["logs"][number]): Problem {
  const { message, position } = log;
  const plain = message.replace(
    / Maybe you need to "bun install"\?$/,
    " Is it in a node_modules beside the module?",
  );
  if (position === null || position.line < 1)
    return { message: plain, ...(position?.file && { file: position.file }) };
  const { file, line, column, lineText } = position;
  const mending = log instanceof ResolveMessage ? [...listWanted(file, log.specifier)] : undefined;
  return { message: plain, file, line, column, text: lineText, ...(mending && { mending }) };
}
