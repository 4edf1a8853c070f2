import { AppError } from "../protocol/error.ts";
import type { Context } from "./context.ts";
import { readLocalFile } from "./local-file.ts";

/** Bytes that a secret may have: what a variable can be given with room for others. */
const MAX_BYTES = 128 * 1024;

/** Secrets by name, and whether one of them was our stdin. */
export interface Secrets {
  readonly secrets: Readonly<Record<string, string>>;
  readonly tookStdin: boolean;
}

/**
 * Reads what `--secret` names: `NAME` from our environment, `NAME=@FILE` from a file, `NAME=-` from stdin, each without a line
 * break at its end, and `NAME=VALUE` as it is. Throws `invalid_input`, which never tells a value.
 */
export async function readSecrets(
  given: readonly string[],
  { env, stdin }: Pick<Context, "env" | "stdin">,
): Promise<Secrets> {
  const secrets: [name: string, value: string][] = [];
  let tookStdin = false;
  for (const text of given) {
    const [, name = "", source] = /^([^=]+)(?:=(.*))?$/s.exec(text) ?? [];
    if (name === "")
      throw new AppError(
        "invalid_input",
        "Cannot read --secret: write NAME, NAME=@FILE, NAME=- or NAME=VALUE",
      );
    if (secrets.some(([known]) => known === name)) throw refused(name, "it is given twice");
    if (source === "-" && tookStdin) throw refused(name, "another one has taken stdin");
    tookStdin ||= source === "-";
    secrets.push([name, await readSecret(name, source, { env, stdin })]);
  }
  return { secrets: Object.fromEntries(secrets), tookStdin };
}

async function readSecret(
  name: string,
  source: string | undefined,
  { env, stdin }: Pick<Context, "env" | "stdin">,
): Promise<string> {
  if (source === "-") return await readAll(name, stdin());
  if (source?.startsWith("@") === true) return await readAll(name, readLocalFile(source.slice(1)));
  const value = source ?? env[name];
  if (value === undefined) throw refused(name, "there is no variable of that name here");
  if (value === "") throw refused(name, "it is empty");
  return value;
}

async function readAll(name: string, bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    chunks.push(chunk.slice());
    if ((length += chunk.length) > MAX_BYTES) throw refused(name, `it has more than ${MAX_BYTES} bytes`);
  }
  const text = toText(name, Buffer.concat(chunks)).replace(/\r?\n$/, "");
  if (text === "") throw refused(name, "it is empty");
  return text;
}

function toText(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refused(name, "it is not UTF-8, and a variable must be text");
  }
}

function refused(name: string, why: string): AppError {
  return new AppError("invalid_input", `Cannot pass secret "${name}": ${why}`);
}
