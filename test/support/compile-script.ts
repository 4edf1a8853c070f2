import { basename, join } from "node:path";

/** Compiles a script to an executable in a directory, which needs no runtime beside it. Answers its path. */
export async function compileScript(script: string, directory: string): Promise<string> {
  const outfile = join(directory, basename(script, ".ts"));
  const built = await Bun.build({
    entrypoints: [script],
    target: "bun",
    compile: { outfile, autoloadDotenv: false, autoloadBunfig: false },
  });
  if (!built.success) throw new Error(`Compiling ${script} failed: ${built.logs.join("\n")}`);
  return outfile;
}
