import { AppError } from "../protocol/error.ts";
import type { CliValues } from "./define.ts";

/** The whole number that an option was given, if it was. Throws `invalid_input`. */
export function toCount(values: CliValues, option: string): number | undefined {
  const text = values.text(option);
  if (text === undefined) return undefined;
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new AppError("invalid_input", `Cannot read --${option} "${text}": write a whole number`);
}
