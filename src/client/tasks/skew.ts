import { AppError } from "../../protocol/error.ts";

/** Settles as `work` does, which asks a server about tasks; of one that is too old to know any, that is said. */
export async function withoutSkew<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "unknown_command") throw error;
    throw new AppError(
      "unsupported_version",
      "Cannot use tasks: this server is too old to know them; upgrade it",
      { cause: error },
    );
  }
}
