/** A file system in its place. */
export interface Mount {
  readonly path: Uint8Array;
  /** What is mounted: a device, or whatever the file system calls it. */
  readonly source: Uint8Array;
  /** Such as `ext4`. */
  readonly system: string;
  readonly readOnly: boolean;
}

/** How full a file system is, in bytes. */
export interface Usage {
  readonly size: number;
  readonly used: number;
  /** To those without privileges. */
  readonly available: number;
}

/** The file systems of the machine. */
export interface MountAccess {
  /** All of them, one for each place. */
  listMounts(): Promise<readonly Mount[]>;
  /** That in which a path lies. */
  findMount(path: Uint8Array): Promise<Mount>;
  /** How full one is. Rejects with an `os_error` when it does not answer within a few seconds. */
  measureMount(mount: Mount, signal: AbortSignal): Promise<Usage>;
}
