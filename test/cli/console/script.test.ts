import { expect, test } from "bun:test";
import { readScript } from "../../../src/cli/console/script.ts";

async function read(...chunks: (string | Uint8Array)[]) {
  async function* source() {
    for (const chunk of chunks) yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
  }
  return await Array.fromAsync(readScript(source()));
}

test("readScript() gives lines with their numbers, without comments and empty ones, however they come", async () => {
  expect(await read("ls\n# no", "t this\n\n  \t\n\r\n  #\njo", "bs # 1\r\nlast")).toEqual([
    { number: 1, text: "ls" },
    { number: 7, text: "jobs # 1" },
    { number: 8, text: "last" },
  ]);
  expect(await read()).toEqual([]);
});

test("readScript() refuses what is no text, and a line that is too long, by its number", async () => {
  expect(read("ls\n", new Uint8Array([0xff, 0x0a]))).rejects.toThrow(
    "Cannot read line 2 of the script: it is no UTF-8",
  );
  expect(read("x".repeat(1024 * 1024 + 1))).rejects.toThrow(
    "Cannot read line 1 of the script: it is longer than 1 MiB",
  );
});
