import * as v from "valibot";

const uuid = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "is no lower-case UUID"),
);

/** A job's id, made by the client, which keeps its call from starting it twice: any UUID, ours a UUIDv7, which sorts by time. */
export const JobId = v.pipe(uuid, v.brand("JobId"));
export type JobId = v.InferOutput<typeof JobId>;

/** How people name a job: its number, its id, a unique prefix of that, or `@last`, the caller's own last one. */
export const JobRef = v.pipe(
  v.union([v.string(), v.pipe(v.number(), v.safeInteger(), v.minValue(0))]),
  v.transform(String),
  v.maxLength(64, "is no reference to a job: it has more than 64 characters"),
);
export type JobRef = v.InferOutput<typeof JobRef>;

/** A reader that a job waits for; made by the client, so that attaching again replaces the old hold. */
export const HolderId = v.pipe(uuid, v.brand("HolderId"));
export type HolderId = v.InferOutput<typeof HolderId>;

/** One stream of input to a job; made by the client. The job's own id stands for the stdin of its `exec`. */
export const WriterId = v.pipe(uuid, v.brand("WriterId"));
export type WriterId = v.InferOutput<typeof WriterId>;

export const SessionId = v.pipe(uuid, v.brand("SessionId"));
export type SessionId = v.InferOutput<typeof SessionId>;

/** A keeper's own name, and its directory's. */
export const KeeperId = v.pipe(uuid, v.brand("KeeperId"));
export type KeeperId = v.InferOutput<typeof KeeperId>;
