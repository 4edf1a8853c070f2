/** What a service of this machine is made of, whoever manages it. */
export interface ServiceWish {
  /** The absolute path of the executable, and the arguments by which it serves. */
  readonly argv: readonly [string, ...string[]];
  /** The same for what has it read configuration and certificate anew, where a manager can be told that. */
  readonly reload: readonly [string, ...string[]];
  /** Of this user, who starts it by logging in, or of the machine, which starts it as root at boot. */
  readonly isUser: boolean;
  readonly uid: number;
  /** The account's name, where the system wants one. */
  readonly account: string;
  /** Where definitions of services lie. */
  readonly directory: string;
}

/** A service as its manager wants it: pure data, so that it can be shown without doing anything. */
export interface ServiceDefinition {
  readonly manager: "systemd" | "launchd" | "Task Scheduler";
  readonly path: string;
  readonly text: string;
  readonly encoding: "utf8" | "utf16le";
  /** Commands that make the manager know it and start it, now and at each boot; `mayFail` ones clear the way. */
  readonly enable: readonly ServiceCommand[];
  /** Commands that stop and forget it; then the file is removed, and these follow. */
  readonly disable: readonly ServiceCommand[];
  readonly forget: readonly ServiceCommand[];
  /** Answer with 0, and a text that matches, where it is enabled, and where it runs. */
  readonly isEnabled: ServiceQuery;
  readonly isActive: ServiceQuery;
  /** What else somebody should know who has installed it. */
  readonly advice?: string;
}

export interface ServiceCommand {
  readonly argv: readonly string[];
  readonly mayFail?: boolean;
}

export interface ServiceQuery {
  readonly argv: readonly string[];
  readonly pattern: RegExp;
}

/** Stands in every definition that we have written, and in no other. */
export const MARK = "Written by farhandd service install";

/** Text for XML and its attributes. What XML cannot hold (control characters) is left out. */
export function escapeXml(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[\0-\x08\x0b\x0c\x0e-\x1f]/g, "").replace(/[&<>"]/g, (c) => names[c] ?? c);
}
