import { count } from "../lib/count.ts";
import type { ServerStatus } from "./app.ts";
import type { Stopped } from "./control.ts";
import type { ReloadReport } from "./reload.ts";
import type { ServiceDefinition } from "./service/definition.ts";
import type { ServiceChange, ServiceState } from "./service/service.ts";

/** What `start` says. */
export function describeStarted({ version, listen, pid }: ServerStatus): string {
  return `farhandd ${version} listens on ${listen.join(" and ")} with pid ${pid}`;
}

/** What `stop` says. */
export function describeStopped({ status, ended, left }: Stopped): string {
  const did = ended === 0 ? [] : [`${count(ended, "job")} ended`];
  const stay = left.map(({ number, reason }) => `job ${number} goes on: ${reason}`);
  const going = status.jobs.running - ended - left.length;
  const on =
    going > 0 && ended === 0 ? [`${count(going, "running job goes", "running jobs go")} on without it`] : [];
  return [`farhandd with pid ${status.pid} has stopped`, ...did, ...stay, ...on].join("; ");
}

/** What `reload` says. */
export function describeReloaded({ changed, unchanged, failed }: ReloadReport): string {
  return [
    ...changed.map(({ name, now }) => `${name}: ${now}`),
    ...failed.map(({ name, reason }) => `${name}: as before, because it failed: ${reason}`),
    ...(unchanged.length > 0 ? [`unchanged: ${unchanged.join(", ")}`] : []),
  ].join("\n");
}

/** What `status` says of a server that runs. */
export function describeStatus(status: ServerStatus, state: string): string {
  const keepers = status.keepers.map(describeKeeper).join(", ");
  return (
    `farhandd ${status.version} runs with pid ${status.pid}\n` +
    `  listening on ${status.listen.join(" and ")}\n${describeTls(status)}  state in ${state}\n` +
    `  ${status.jobs.running} of ${status.jobs.total} jobs running; ${keepers}` +
    describeCommands(status)
  );
}

function describeCommands({ commands }: Pick<ServerStatus, "commands">): string {
  if (commands === undefined || commands.own + commands.faults.length === 0) return "";
  const faults = commands.faults.map(({ name, reason }) => `\n  fault: ${name}: ${reason}`);
  return `\n  ${count(commands.own, "command")} of its own${faults.join("")}`;
}

function describeTls({ tls }: ServerStatus): string {
  return tls === undefined
    ? ""
    : `  TLS with the key ${tls.pin}, certificate until ${tls.expires.slice(0, 10)}\n`;
}

/** What `service install` and `uninstall` say. */
export function describeChange(
  verb: "installed" | "removed",
  { manager, path, byHand }: ServiceChange,
  advice: ServiceDefinition["advice"],
): string {
  const rest =
    byHand.length === 0 ? "" : `\n${manager} does not run here; once it does:\n  ${byHand.join("\n  ")}`;
  return `The service is ${verb}: ${path}${rest}${advice === undefined ? "" : `\nNote: ${advice}`}`;
}

/** What `service status` says. */
export function describeService({ manager, path, installed, enabled, running }: ServiceState): string {
  if (!installed) return `No service of farhandd is installed for ${manager} (${path})`;
  const words = [enabled ? "enabled" : "not enabled", running ? "running" : "not running"];
  return `The service is installed for ${manager}, ${words.join(" and ")} (${path})`;
}

function describeKeeper(keeper: ServerStatus["keepers"][number]): string {
  const who = `keeper ${keeper.pid ?? keeper.id} with ${count(keeper.jobs, "job")}`;
  switch (keeper.state) {
    case "reached":
      return who;
    case "unreached":
      return `${who} (it does not answer)`;
    case "unsupported":
      return `${who} (of version ${keeper.major}, which this farhandd cannot use)`;
  }
}
