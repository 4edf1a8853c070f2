import type { TaskDefinition } from "../../module/define.ts";
import { readDefinitions } from "../../module/definition.ts";
import { AppError } from "../../protocol/error.ts";
import { type SaidEnd, splitSaid } from "../../protocol/said.ts";
import { toValue } from "../../protocol/value.ts";
import type { Job } from "../job.ts";
import type { JobOrder, Ordered } from "../order.ts";
import { Outbox } from "../outbox.ts";
import { toThrown } from "../thrown.ts";
import { runTask } from "./task.ts";

type Order = Ordered & { readonly order: Extract<JobOrder, { readonly type: "task" }> };

/**
 * Is the task that a job was ordered to be, to its end, and answers how it has ended. Whatever its module throws where nobody
 * catches it is written down, and ends nothing.
 */
export async function carryOut({ order, module, payload }: Order, job: Job): Promise<SaidEnd> {
  const { load, peer, input, signal, log, cwd, env } = job;
  const outbox = new Outbox((bytes) => peer.say(bytes));
  const chunks = input[Symbol.asyncIterator]();
  const hash = new Bun.CryptoHasher("sha256").update(module).digest("hex");
  const options = {
    ...{ order, payload, cwd, env, log },
    load: async () => findTask(await load({ hash, source: module })),
    read: async () => (await chunks.next()).value,
    // At once, so that nothing comes between the pieces of a value.
    say: async (value: Uint8Array) => {
      const pieces = [...splitSaid(value)].flat();
      await Promise.all(pieces.map((piece) => outbox.put(piece)));
      await outbox.flush();
    },
  };
  try {
    await runTask(options, signal);
    return { type: "returned", value: toValue(undefined) };
  } catch (error) {
    return { type: "threw", error: toThrown(error) };
  } finally {
    await outbox.flush();
  }
}

/** Throws `invalid_module`. */
function findTask(exports: unknown): TaskDefinition {
  const found = readDefinitions(exports);
  if (found.type === "task") return found.task;
  throw new AppError("invalid_module", "Cannot run the module as a task: it defines commands");
}
