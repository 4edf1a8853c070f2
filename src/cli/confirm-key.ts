import * as v from "valibot";
import type { Trust } from "../client/trust.ts";
import { escapeControls } from "../lib/escape.ts";
import { AppError } from "../protocol/error.ts";
import { Pin } from "../protocol/pin.ts";
import type { Context } from "./context.ts";
import { ask } from "./prompt.ts";

/** What is shown to a person of a certificate that nobody vouches for. */
const Shown = v.object({
  reason: v.picklist(["self_signed", "unknown_authority", "wrong_name"]),
  pin: Pin,
  names: v.array(v.string()),
  issuer: v.string(),
  from: v.string(),
  until: v.string(),
});

const REASONS = {
  self_signed: "its certificate is self-signed",
  unknown_authority: "no authority that this machine trusts has signed its certificate",
  wrong_name: "its certificate is for other names",
};

/** Asks whether the key that was shown is the host's. Throws the error where that is no question, or nobody can be asked. */
export async function confirmKey(error: unknown, url: string, context: Context): Promise<Trust> {
  const shown =
    error instanceof AppError && error.code === "untrusted" ? v.safeParse(Shown, error.details) : undefined;
  if (shown?.success !== true) throw error;
  const { reason, pin, names, from, until } = shown.output;
  const terminal = await context.localTerminal();
  if (terminal === undefined)
    throw new AppError(
      "untrusted",
      `Cannot add ${url}: ${REASONS[reason]}, and nobody can be asked here whether it is the right one; ` +
        `if farhandd fingerprint there prints ${pin}, add --pin ${pin}`,
      { details: shown.output, cause: error },
    );
  const lines = [
    `Nobody vouches for ${url}: ${REASONS[reason]}.`,
    `  fingerprint  ${pin}`,
    `  names        ${names.join(", ")}`,
    `  valid        ${from.slice(0, 10)} to ${until.slice(0, 10)}`,
    "Compare it with what farhandd fingerprint prints there.",
  ];
  for (const line of lines) context.sinks.stderr.writeLine(escapeControls(line));
  const answer = await ask(terminal, "Is it the right one (yes, no, or the fingerprint)? ", context);
  if (answer.trim().toLowerCase() === "yes" || answer.trim() === pin) return { type: "pin", pin };
  throw new AppError("cancelled", `Cannot add ${url}: its key was not confirmed`);
}
