import { dlopen, ptr } from "bun:ffi";
import { win32 } from "node:path";
import type { Mount } from "../../commands/access/mounts.ts";
import type { MountTable } from "./mounts.ts";

/** Characters of a volume's label and of a file system's name at most, with the NUL (fileapi.h). */
const MAX_NAME = 261;
const FILE_READ_ONLY_VOLUME = 0x0008_0000;

/** Windows: the drives that have a letter. Which is the one of a path, its beginning says. */
export function openWindowsMounts(): MountTable {
  const { symbols } = dlopen("kernel32.dll", {
    GetLogicalDrives: { args: [], returns: "u32" },
    GetVolumeInformationW: {
      args: ["ptr", "ptr", "u32", "ptr", "ptr", "ptr", "ptr", "u32"],
      returns: "i32",
    },
  });
  const look = (drive: string): Mount | undefined => {
    const root = toWide(drive);
    const [label, system] = [new Uint16Array(MAX_NAME), new Uint16Array(MAX_NAME)];
    const flags = new Uint32Array(1);
    const isReady = symbols.GetVolumeInformationW(
      ptr(root),
      ptr(label),
      MAX_NAME,
      null,
      null,
      ptr(flags),
      ptr(system),
      MAX_NAME,
    );
    if (isReady === 0) return undefined; // an empty drive
    return {
      path: Buffer.from(drive),
      source: Buffer.from(fromWide(label) || drive),
      system: fromWide(system),
      readOnly: ((flags[0] ?? 0) & FILE_READ_ONLY_VOLUME) !== 0,
    };
  };
  return {
    list: async () => toDrives(symbols.GetLogicalDrives()).flatMap((drive) => look(drive) ?? []),
    find: async (absolute) => {
      const mount = look(toRoot(absolute));
      if (mount !== undefined) return mount;
      throw Object.assign(new Error("No drive of this name is ready"), { code: "ENODEV" });
    },
  };
}

/** Bit 0 is A. */
export function toDrives(mask: number): string[] {
  const letters = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  return letters.filter((_, index) => (mask & (1 << index)) !== 0).map((letter) => `${letter}:\\`);
}

/** `C:\` of `C:\x`, `\\server\share\` of `\\server\share\x`. */
export function toRoot(absolute: Uint8Array): string {
  const { root } = win32.parse(Buffer.from(absolute).toString());
  return root.endsWith("\\") ? root : `${root}\\`;
}

function toWide(text: string): Uint16Array {
  return Uint16Array.from([...Array.from(text, (_, index) => text.charCodeAt(index)), 0]);
}

function fromWide(wide: Uint16Array): string {
  const end = wide.indexOf(0);
  return String.fromCharCode(...wide.subarray(0, end < 0 ? wide.length : end));
}
