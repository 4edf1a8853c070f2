import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { Labels } from "../protocol/terms.ts";

/** Labels that were changed since the start, as a file of their own: the start record is never rewritten. */
const LabelsFile = v.object({ format: v.literal(1), labels: Labels });

/** The labels that a job has now, or undefined when they are still those of its start. */
export function findLabels(directory: string): Labels | undefined {
  try {
    const parsed = v.safeParse(LabelsFile, JSON.parse(readFileSync(toPath(directory), "utf8")));
    return parsed.success ? parsed.output.labels : undefined;
  } catch {
    return undefined; // they were never changed
  }
}

/** Replaces a job's labels: all or, where that throws the system's error, none. */
export function writeLabels(directory: string, labels: Labels): void {
  const draft = `${toPath(directory)}.new`;
  try {
    writeWhole(draft, new TextEncoder().encode(`${JSON.stringify({ format: 1, labels })}\n`));
    renameSync(draft, toPath(directory));
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

function writeWhole(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "w", 0o600);
  try {
    if (writeSync(fd, bytes) < bytes.length)
      throw Object.assign(new Error("No space left"), { code: "ENOSPC" });
    fsyncSync(fd); // the name must not get there before what it names
  } finally {
    closeSync(fd);
  }
}

function toPath(directory: string): string {
  return join(directory, "labels.json");
}
