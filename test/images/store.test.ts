import { mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { ImageStore } from "../../src/images/store.js";
import { makeFolder } from "../support/folder.js";

const NOON = new Date(2026, 10, 21, 12, 0, 0);
const STAMP = "2026-11-21_12-00-00";
const IMAGES = [Uint8Array.of(1), Uint8Array.of(2, 2), Uint8Array.of(3, 3, 3)];

let root: string;
let store: ImageStore;
beforeEach(() => {
  root = makeFolder();
  store = new ImageStore(path.join(root, "out", "deep"), () => NOON);
});

function save(prompt: string, images: readonly Uint8Array[] = IMAGES): Promise<string> {
  return store.save({ prompt, format: "png", images });
}

describe("saving images", () => {
  test("writes them by number into one folder, creating what is missing", async () => {
    const folder = await save("a red circle");
    expect(folder).toBe(path.join(root, "out", "deep", `${STAMP}_a red circle`));
    expect((await readdir(folder)).sort()).toEqual(["0.png", "1.png", "2.png"]);
    expect([...(await readFile(path.join(folder, "2.png")))]).toEqual([3, 3, 3]);
    expect(store.report()).toEqual({ waitingCount: 0, savedCount: 3, failedCount: 0 });
  });

  test("keeps equal prompts of one second apart, even at the same moment", async () => {
    const folders = await Promise.all([save("a"), save("a"), save("a")]);
    expect(folders.map((folder) => path.basename(folder)).sort()).toEqual([
      `${STAMP}_a`,
      `${STAMP}_a_2`,
      `${STAMP}_a_3`,
    ]);
    for (const folder of folders) expect(await readdir(folder)).toHaveLength(3);
  });

  test.each(["../../up", "..", "/etc/x", "a/../../b", "..\\..\\c", "\u0000", "a\u0000/../b", "."])(
    "the prompt %j stays inside the output folder",
    async (prompt) => {
      const folder = await save(prompt);
      expect(path.dirname(folder)).toBe(path.join(root, "out", "deep"));
      expect(await readdir(root)).toEqual(["out"]);
      expect(await readdir(path.join(root, "out"))).toEqual(["deep"]);
    },
  );

  test("does not follow a link that lies where the folder would be", async () => {
    const elsewhere = path.join(root, "elsewhere");
    const output = path.join(root, "out", "deep");
    await mkdir(elsewhere);
    await mkdir(output, { recursive: true });
    await symlink(elsewhere, path.join(output, `${STAMP}_a`));
    expect(path.basename(await save("a"))).toBe(`${STAMP}_a_2`);
    expect(await readdir(elsewhere)).toEqual([]);
  });
});

test("says how many images wait for the disk", async () => {
  const saving = save("a");
  expect(store.report().waitingCount).toBeGreaterThan(0);
  await saving;
  expect(store.report().waitingCount).toBe(0);
});

describe("a disk that cannot be written", () => {
  test.each([
    ["the output folder is a file", "blocked"],
    ["a parent of it is a file", "blocked/inside"],
  ])("is reported and counted: %s", async (_name, place) => {
    await writeFile(path.join(root, "blocked"), "");
    store = new ImageStore(path.join(root, place), () => NOON);
    await expect(save("a")).rejects.toThrow(/EEXIST|ENOTDIR/);
    expect(store.report()).toEqual({ waitingCount: 0, savedCount: 0, failedCount: 3 });
  });

  test("is reported where no folder can be made at all, instead of trying for ever", async () => {
    store = new ImageStore("/proc/sys/dalle/out", () => NOON);
    await expect(save("a")).rejects.toThrow(/ENOENT|EPERM|EACCES|EROFS/);
    expect(store.report()).toEqual({ waitingCount: 0, savedCount: 0, failedCount: 3 });
  });

  test("leaves no half-written file and no empty folder", async () => {
    const full = [new FullDisk()];
    await expect(save("a", full)).rejects.toThrow("ENOSPC");
    expect(await readdir(path.join(root, "out", "deep"))).toEqual([]);
    expect(store.report()).toEqual({ waitingCount: 0, savedCount: 0, failedCount: 1 });
  });

  test("keeps the images that were written before it was full", async () => {
    await expect(save("a", [Uint8Array.of(1), new FullDisk()])).rejects.toThrow("ENOSPC");
    expect(await readdir(path.join(root, "out", "deep", `${STAMP}_a`))).toEqual(["0.png"]);
    expect(store.report()).toEqual({ waitingCount: 0, savedCount: 1, failedCount: 1 });
  });
});

/** Bytes that fail in the middle of being written, as they do on a full disk. */
class FullDisk extends Uint8Array {
  override get buffer(): ArrayBuffer {
    throw new Error("ENOSPC: no space left on device");
  }
}
