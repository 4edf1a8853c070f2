/** The code that an error of the system's has, such as `ENOENT`. */
export function toErrorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
