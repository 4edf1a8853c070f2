import { readFileSync } from "node:fs";
import { extname, resolve } from "node:path";
import * as v from "valibot";
import type { Problem } from "./problem.ts";

/** What Bun tells of the files that it has read, by their paths from the working directory. */
export const Metafile = v.object({
  inputs: v.record(
    v.string(),
    v.object({ imports: v.array(v.object({ path: v.string(), original: v.optional(v.string()) })) }),
  ),
});
type Inputs = v.InferOutput<typeof Metafile>["inputs"];

/** Who imports something that cannot become part of one file of JavaScript. */
export function findApart(output: string, inputs: Inputs): Problem | undefined {
  const kind = extname(output);
  const name = kind === ".css" ? "" : output.replace(/^.*\/|-\w{8}(?=\.\w+$)/g, "").slice(0, -kind.length);
  for (const [file, { imports }] of Object.entries(inputs)) {
    const found = imports.find(({ path }) => path.endsWith(`${name}${kind}`));
    if (found !== undefined) return toApart(resolve(file), found);
  }
  return undefined;
}

function toApart(
  file: string,
  { path, original = path }: { path: string; original?: string | undefined },
): Problem {
  const lines = readFileSync(file, "utf8").split("\n");
  const index = lines.findIndex((line) => line.includes(`"${original}"`) || line.includes(`'${original}'`));
  const text = lines[index];
  const message = path.endsWith(".node")
    ? `the native addon "${resolve(path)}" cannot be part of a bundle`
    : `"${resolve(path)}" cannot be part of a bundle: import it with { type: "text" }, or read it where the module runs`;
  return {
    message,
    file,
    ...(text !== undefined && { line: index + 1, column: text.indexOf(original), text }),
  };
}
