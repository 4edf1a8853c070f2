import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDirectory } from "./directory.ts";

/** The colours of a picture, as `#rrggbb`. */
export interface Colors {
  readonly ink: string;
  readonly paper: string;
}

/** An X server that shows nothing to anybody, of 64 by 48 pixels. */
export interface Display extends AsyncDisposable {
  /** As $DISPLAY says it. */
  readonly name: string;
  /** Draws all over it triangles of eight by eight pixels: in line y of each the first y + 1 are of ink. */
  readonly draw: (colors: Colors) => void;
}

export const WIDTH = 64;
export const HEIGHT = 48;

const TRIANGLE = `#define t_width 8
#define t_height 8
static char t_bits[] = {
 0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff };
`;

/** What is needed for one. */
export const DISPLAY_TOOLS: readonly string[] = ["Xvfb", "xsetroot", "xwd"];

/** Starts one. It keeps what was drawn when nobody is connected any more. */
export async function openDisplay(): Promise<Display> {
  const directory = openDirectory();
  const argv = [
    "Xvfb",
    "-displayfd",
    "1",
    "-screen",
    "0",
    `${WIDTH}x${HEIGHT}x24`,
    "-noreset",
    "-nolisten",
    "tcp",
  ];
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const reader = child.stdout.getReader();
  let number = "";
  for (const decoder = new TextDecoder(); !number.endsWith("\n");) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`Xvfb ended with ${await child.exited}`);
    number += decoder.decode(value, { stream: true });
  }
  const name = `:${number.trim()}`;
  const bitmap = join(directory.path, "triangle.xbm");
  writeFileSync(bitmap, TRIANGLE);
  return {
    name,
    draw({ ink, paper }) {
      const drawing = ["xsetroot", "-display", name, "-bitmap", bitmap, "-fg", ink, "-bg", paper];
      const { success, stderr } = Bun.spawnSync(drawing);
      if (!success) throw new Error(stderr.toString());
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
      directory[Symbol.dispose]();
    },
  };
}

/** What was drawn, four bytes for each pixel. */
export function toPixels({ ink, paper }: Colors): Uint8Array {
  const toBytes = (color: string) => [...Buffer.from(color.slice(1), "hex"), 0xff];
  const [dark, light] = [toBytes(ink), toBytes(paper)];
  const pixels = Array.from({ length: WIDTH * HEIGHT }, (_, index) => {
    const [x, y] = [index % WIDTH, Math.floor(index / WIDTH)];
    return x % 8 <= y % 8 ? dark : light;
  });
  return Uint8Array.from(pixels.flat());
}
