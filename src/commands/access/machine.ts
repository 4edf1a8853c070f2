import type { Account, Found, MachineInfo, MachineProcess, PowerAction } from "../../protocol/machine.ts";

/** The machine that the server runs on: what it is, what runs on it, and its power. */
export interface MachineAccess {
  info(): Promise<MachineInfo>;
  /** As whom the server runs. It needs no terminal. */
  account(): Promise<Account>;
  /** Every process, however many: others have their turns meanwhile. */
  processes(signal: AbortSignal): AsyncGenerator<MachineProcess, void, void>;
  /** The file that `exec` would run by this name in the call's workspace. */
  findProgram(name: string): Promise<Found>;
  /** The argv that does it on this machine. Throws `os_error` where there is no program for it. */
  planPower(action: PowerAction): readonly string[];
  /** Runs such an argv. Throws `os_error` with what the system says when it refuses. */
  runPower(argv: readonly string[]): Promise<void>;
}
