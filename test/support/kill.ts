import { sessionMembers } from "../../src/process/identity.ts";
import type { ProcessIdentity } from "../../src/protocol/job.ts";

/** Kills whoever lives in the session that a process opened; those that end by themselves meanwhile are as dead. */
export function killSession(leader: ProcessIdentity): void {
  for (const { pid } of sessionMembers(leader)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
    }
  }
}
