import { dirname, join, resolve } from "node:path";

/** Where something is looked for, absolute, that a file imports and that there is not: it may come there, or into one of these directories. */
export function listWanted(file: string, specifier: string): readonly string[] {
  if (/^\.{0,2}\//.test(specifier)) {
    const path = resolve(dirname(file), specifier);
    return [path, dirname(path)];
  }
  const [name = "", inScope = ""] = specifier.split("/");
  const own = name.startsWith("@") ? join(name, inScope) : name;
  return listAbove(dirname(file)).flatMap((above) => {
    const modules = join(above, "node_modules");
    return [modules, join(modules, own)];
  });
}

function listAbove(directory: string): readonly string[] {
  const above = dirname(directory);
  return above === directory ? [directory] : [directory, ...listAbove(above)];
}
