import { readFileSync } from "node:fs";
import { readOwn } from "../client/own-file.ts";
import { toBareMessage } from "../lib/message.ts";
import { AppError } from "../protocol/error.ts";
import { MAX_TOKEN_CHARACTERS } from "../protocol/limits.ts";
import type { Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";
import { TOKEN_OPTIONS } from "./globals.ts";
import { ask, readInput } from "./prompt.ts";

/**
 * What a verb works with, with the token that the options name. One that is read from stdin leaves nothing there for a job.
 * Throws `invalid_input`, `state_unusable` for a file that others may read.
 */
export async function withToken(values: Arguments, context: Context): Promise<Context> {
  const given = TOKEN_OPTIONS.filter((name) => values.flag(name) || values.text(name) !== undefined);
  if (given.length > 1)
    throw new AppError("invalid_input", `Cannot use --${given[0]} with --${given[1]}: give one of them`);
  const isStdin = values.flag("token-stdin") || values.text("token-fd") === "0";
  const token = isStdin ? await readStdin(context) : readFileOf(values);
  return { ...context, token, ...(isStdin && { stdin: nothing }) };
}

async function readStdin(context: Context): Promise<string> {
  const terminal = await context.localTerminal();
  if (terminal !== undefined)
    return toToken(await ask(terminal, "Token: ", { ...context, isHidden: true }), "the terminal");
  return toToken(await readInput(context, MAX_TOKEN_CHARACTERS), "stdin");
}

function readFileOf(values: Arguments): string {
  const path = values.text("token-file");
  if (path !== undefined) return toToken(readPath(path), `"${path}"`);
  const text = values.text("token-fd") ?? "";
  const fd = /^\d{1,5}$/.test(text) ? Number(text) : 1;
  if (fd < 3)
    throw new AppError(
      "invalid_input",
      `Cannot use --token-fd "${text}": name an open descriptor from 3 on, or 0`,
    );
  return toToken(readDescriptor(fd), `descriptor ${fd}`);
}

function readPath(path: string): string {
  try {
    return readOwn(path);
  } catch (error) {
    throw toUnreadable(`"${path}"`, error);
  }
}

function readDescriptor(fd: number): string {
  try {
    return readFileSync(fd, "utf8");
  } catch (error) {
    throw toUnreadable(`descriptor ${fd}`, error);
  }
}

function toUnreadable(where: string, error: unknown): AppError {
  if (error instanceof AppError) return error;
  const why = toBareMessage(error);
  return new AppError("invalid_input", `Cannot read a token from ${where}: ${why}`, { cause: error });
}

/** What was read, as it is sent; never shown, whatever is wrong with it. */
function toToken(text: string, where: string): string {
  const token = text.trim();
  if (token === "") throw new AppError("invalid_input", `Cannot read a token from ${where}: there is none`);
  if (token.length <= MAX_TOKEN_CHARACTERS && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new AppError("invalid_input", `Cannot read a token from ${where}: write it alone, on one line`);
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {}
