import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { openPlace } from "../../src/keeper/place.ts";
import { findProcess } from "../../src/ledger/start.ts";
import { type HolderId, JobId, KeeperId } from "../../src/protocol/id.ts";
import { MIN_KEEP_BYTES } from "../../src/protocol/limits.ts";
import type { Exit, RecordedPacket } from "../../src/protocol/packet.ts";
import type { Terms } from "../../src/protocol/terms.ts";
import { openDirectory, type TestDirectory } from "./directory.ts";
import { eventually } from "./eventually.ts";
import { Front } from "./front.ts";
import { killSession } from "./kill.ts";
import { readLedger } from "./packets.ts";
import { speaker, type Step } from "./speaker.ts";
import { createStart } from "./start.ts";

const fixture = resolve(import.meta.dir, "../fixtures/keeper.ts");

export interface JobRequest {
  readonly job?: JobId;
  readonly holder?: HolderId;
  readonly stdin?: boolean;
  readonly merge?: boolean;
  readonly keepBytes?: number;
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly umask?: number;
  readonly terms?: Terms;
  /** It is a runner, which is given this. */
  readonly order?: Uint8Array;
}

/** A real keeper in a process of its own, on a fresh state directory. Disposing kills it and its jobs. */
export class KeeperProcess implements AsyncDisposable {
  readonly id: KeeperId = v.parse(KeeperId, Bun.randomUUIDv7());
  readonly state: string;
  readonly process: Bun.Subprocess;
  readonly #directory: TestDirectory;
  readonly #fronts: Front[] = [];
  readonly #jobs: JobId[] = [];
  #lastRequest = 0;

  private constructor(directory: TestDirectory) {
    this.#directory = directory;
    this.state = directory.path;
    mkdirSync(join(this.state, "ledgers"));
    mkdirSync(join(this.state, "keeper"));
    this.process = Bun.spawn([process.execPath, "--config=/dev/null", fixture, this.state, this.id], {
      stdio: ["ignore", "ignore", process.env["KEEPER_LOG"] ? "inherit" : "ignore"],
      detached: true,
    });
  }

  static async start(directory: TestDirectory = openDirectory()): Promise<KeeperProcess> {
    const keeper = new KeeperProcess(directory);
    await eventually(() => existsSync(keeper.socket));
    return keeper;
  }

  get socket(): string {
    return openPlace(this.state, this.id).socket;
  }

  /** A path in the state directory, for the files of a test. */
  path(name: string): string {
    return join(this.state, name);
  }

  async front(): Promise<Front> {
    let front: Front | undefined;
    // Between bind and listen the socket's file is there, and nobody takes calls yet.
    await eventually(
      async () => (front = await Front.connect(this.socket).catch(() => undefined)) !== undefined,
    );
    if (front === undefined) throw new Error("No front"); // never; a type cannot tell what a callback has set
    this.#fronts.push(front);
    await front.hear("hello");
    return front;
  }

  /** Spawns a program as a front does, and answers its job once that is created. */
  async spawn(front: Front, argv: readonly string[], options: JobRequest = {}): Promise<JobId> {
    const { job, request } = this.requestSpawn(front, argv, options);
    await front.hear("spawned", (message) => message.request === request);
    return job;
  }

  requestSpawn(
    front: Front,
    argv: readonly string[],
    options: JobRequest = {},
  ): { job: JobId; request: number } {
    const {
      job = v.parse(JobId, Bun.randomUUIDv7()),
      holder,
      stdin = false,
      merge = false,
      keepBytes = MIN_KEEP_BYTES,
      cwd = this.state,
      env = { PATH: process.env["PATH"] ?? "" },
      umask = 0o022,
      terms = {},
      order,
    } = options;
    const request = ++this.#lastRequest;
    const start = createStart({
      job,
      number: request,
      argv: [...argv],
      cwd,
      envNames: Object.keys(env),
      keeper: this.id,
      merge,
      keepBytes,
      startedAt: new Date().toISOString(),
      ...terms,
    });
    this.#jobs.push(job);
    const speaks = order !== undefined;
    front.send(
      { type: "spawn", request, start, env, umask, stdin, speaks, ...(holder && { holder }) },
      order,
    );
    return { job, request };
  }

  nextRequest(): number {
    return ++this.#lastRequest;
  }

  /** Runs a shell script as a job, to its very end. */
  async run(front: Front, script: string, options: JobRequest = {}): Promise<RecordedPacket[]> {
    const job = await this.spawn(front, ["sh", "-c", script], options);
    await front.hear("closed", (message) => message.job === job);
    return this.ledger(job);
  }

  /** Runs a runner as a job, to its very end. */
  async runSpeaker(
    front: Front,
    steps: readonly Step[],
    options: JobRequest = {},
  ): Promise<RecordedPacket[]> {
    const { argv, order } = speaker(...steps);
    const job = await this.spawn(front, argv, { ...options, order });
    await front.hear("closed", (message) => message.job === job);
    return this.ledger(job);
  }

  directory(job: JobId): string {
    return join(this.state, "ledgers", job);
  }

  ledger(job: JobId, since = 0): RecordedPacket[] {
    return readLedger(this.directory(job), job, since);
  }

  async exitOf(front: Front, job: JobId): Promise<Exit> {
    return front.until(() => front.standing(job).exit);
  }

  /** As a crash of the keeper. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const front of this.#fronts) front[Symbol.dispose]();
    await this.kill();
    for (const job of this.#jobs) {
      const leader = existsSync(this.directory(job)) ? findProcess(this.directory(job)) : undefined;
      if (leader !== undefined) killSession(leader);
    }
    this.#directory[Symbol.dispose]();
  }
}
