import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The paths of the file tree in docs/architecture.md; folders end with a slash. */
async function readDocumentedTree(): Promise<string[]> {
  const page = await readFile(path.join(ROOT, "docs", "architecture.md"), "utf8");
  const tree = page.split("## File tree")[1]?.split("```")[1] ?? "";
  const folders: string[] = [];
  return tree.split("\n").flatMap((line) => {
    const match = /^((?: {2})*)(\S+)/.exec(line);
    if (match === null) return [];
    const [, indent = "", name = ""] = match;
    const depth = indent.length / 2;
    folders.length = depth;
    const whole = [...folders, name].join("");
    if (name.endsWith("/")) folders[depth] = name;
    return [whole];
  });
}

async function listSources(folder: string): Promise<string[]> {
  const entries = await readdir(path.join(ROOT, folder), { recursive: true });
  return entries
    .filter((entry) => /\.(ts|py|mjs)$/.test(entry))
    .map((entry) => path.posix.join(folder, entry));
}

test("the file tree in docs/architecture.md names every source file and nothing else", async () => {
  const documented = await readDocumentedTree();
  const detailed = ["src", "sidecar", "bench"];
  const sources = (await Promise.all(detailed.map(listSources))).flat().sort();
  const isDetailed = (name: string) => detailed.includes(name.split("/")[0] ?? "");
  const listed = documented.filter((name) => isDetailed(name) && !name.endsWith("/")).sort();
  expect(listed).toEqual(sources);
});

test("every folder that the file tree names is there", async () => {
  const folders = (await readDocumentedTree()).filter((name) => name.endsWith("/"));
  expect(folders.length).toBeGreaterThan(10);
  for (const folder of folders) {
    expect(await readdir(path.join(ROOT, folder)), folder).not.toEqual([]);
  }
});
