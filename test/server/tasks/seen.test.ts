import { describe, expect, test } from "bun:test";
import type { ExecutionId } from "../../../src/protocol/task.ts";
import { Seen } from "../../../src/server/tasks/seen.ts";

const NOW = Date.now();
/** An execution that a client names at that time. */
const at = (time: number) => Bun.randomUUIDv7("hex", time) as ExecutionId;
const unnamed = () => crypto.randomUUID() as ExecutionId;

describe("Seen", () => {
  test("knows thousands, and nothing that it has not seen", () => {
    const seen = new Seen(0);
    const all = Array.from({ length: 16_000 }, (_, index) => (index % 2 === 0 ? at(NOW) : unnamed()));
    for (const id of all) seen.add(id, NOW);
    expect(all.every((id) => seen.has(id) === "surely")).toBe(true);
    expect([at(NOW), at(0), unnamed()].map((id) => seen.has(id))).toEqual(["never", "never", "never"]);
  });

  test("does not rule out what is older than all that it knows", () => {
    const seen = new Seen(0);
    for (let index = 0; index < 100_000; index++) seen.add(at(NOW + index), NOW + index);
    expect(seen.has(at(NOW))).toBe("perhaps");
    expect(seen.has(unnamed())).toBe("perhaps");
    expect(seen.has(at(NOW + 100_000))).toBe("never");
  });

  test("knows of a server before it that it knows nothing", () => {
    const seen = new Seen(NOW);
    expect([at(NOW), unnamed(), at(NOW + 1)].map((id) => seen.has(id))).toEqual([
      "perhaps",
      "perhaps",
      "never",
    ]);
  });
});
