import type { ReloadReport } from "../reload.ts";

/** What an audit log says of a reload: of each part that is another now, and of each that could not be read. */
export function describeReload({
  changed,
  failed,
}: Pick<ReloadReport, "changed" | "failed">): readonly Readonly<Record<string, unknown>>[] {
  return [
    ...changed.map(({ name, now }) => ({ what: `reload ${name}`, now, outcome: "ok" })),
    ...failed.map(({ name, reason }) => ({ what: `reload ${name}`, outcome: "failed", message: reason })),
  ];
}
