import { abortable } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";

/** Where somebody sits who can be asked: a terminal to read from, and one to write to. */
export interface Asked {
  readonly stdin: NodeJS.ReadStream;
  readonly stderr: NodeJS.WriteStream;
}

/** Bytes of a password. */
const MAX_PASSWORD_BYTES = 1_024;
const TOO_LONG = new AppError(
  "invalid_input",
  `Cannot use the password: it has more than ${MAX_PASSWORD_BYTES} bytes`,
);

/** Asks twice for a new password, or takes what stdin has, without the line break at its end. Throws `invalid_input`. */
export async function readPassword(fromStdin: boolean, asked: Asked, signal: AbortSignal): Promise<string> {
  if (fromStdin) return await readAll(asked.stdin, signal);
  if (!asked.stdin.isTTY)
    throw new AppError(
      "invalid_input",
      "Cannot ask for the password: stdin is no terminal; give it there with --password-stdin",
    );
  const first = await promptSecret("New password: ", asked, signal);
  if ((await promptSecret("The same again: ", asked, signal)) === first) return first;
  throw new AppError("invalid_input", "Cannot use the password: the second one is another");
}

async function readAll(stdin: NodeJS.ReadStream, signal: AbortSignal): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const ended = Promise.withResolvers<void>();
  stdin.on("end", ended.resolve);
  stdin.on("error", ended.reject);
  stdin.on("data", (chunk: Uint8Array) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_PASSWORD_BYTES + 2) ended.reject(TOO_LONG);
  });
  try {
    await abortable(ended.promise, signal);
  } finally {
    stdin.pause();
  }
  return Buffer.concat(chunks)
    .toString()
    .replace(/\r?\n$/, "");
}

/** Asks for a line on the terminal, and shows nothing of what is typed. Throws `cancelled` at Ctrl-C or an end of input. */
async function promptSecret(
  question: string,
  { stdin, stderr }: Asked,
  signal: AbortSignal,
): Promise<string> {
  stderr.write(question);
  stdin.setRawMode(true);
  const over = new AbortController();
  try {
    return await abortable(readLine(stdin, over.signal), signal);
  } finally {
    over.abort();
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write("\n");
  }
}

/** Resolves with the first line that is typed; the signal ends the listening. */
function readLine(stdin: NodeJS.ReadStream, over: AbortSignal): Promise<string> {
  const decoder = new TextDecoder();
  let typed: readonly string[] = [];
  return new Promise((resolve, reject) => {
    const stop = () => reject(new AppError("cancelled", "Stopped, and nothing was changed"));
    const take = (bytes: Uint8Array) => {
      for (const key of decoder.decode(bytes, { stream: true })) {
        if (key === "\r" || key === "\n") return resolve(typed.join(""));
        if (key === "\u0003" || key === "\u0004") return stop();
        typed = edit(typed, key);
        if (typed.length > MAX_PASSWORD_BYTES) return reject(TOO_LONG);
      }
    };
    stdin.on("data", take);
    stdin.on("end", stop);
    over.addEventListener("abort", () => {
      stdin.off("data", take);
      stdin.off("end", stop);
    });
    stdin.resume();
  });
}

/** Backspace takes a character back, Ctrl-U all of them; every other control is no part of a line. */
function edit(typed: readonly string[], key: string): readonly string[] {
  if (key === "\u007f" || key === "\b") return typed.slice(0, -1);
  if (key === "\u0015") return [];
  return key < " " ? typed : [...typed, key];
}
