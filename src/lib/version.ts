import { version } from "../../package.json";

declare const FARHAND_COMMIT: string | undefined;
declare const FARHAND_SOURCES: string | undefined;

/** The release, from package.json. */
export const VERSION: string = version;

/** The commit that build.ts embedded, "-dirty" if the tree differed from it; "source" when run from source. */
export const COMMIT: string = typeof FARHAND_COMMIT === "string" ? FARHAND_COMMIT : "source";

/**
 * Names exactly this build: two dirty builds of one commit differ, because build.ts embeds a digest of the sources
 * too. A front compares it with its keeper's.
 */
export const BUILD: string =
  typeof FARHAND_SOURCES === "string" ? `${VERSION}+${COMMIT}.${FARHAND_SOURCES}` : `${VERSION}+${COMMIT}`;
