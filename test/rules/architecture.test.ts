/** Every folder has its line in docs/architecture.md, and every source file says at its top what it is for. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { ROOT } from "../harness/paths.mjs";

const SOURCE_FOLDERS = ["src", "sidecar", "bench", "scripts", "training", "test"];
const MOST_FILES = 15;
/** Installed or made by programs. */
const FOREIGN_FOLDERS = new Set(["node_modules", "work", "__pycache__"]);

/** The source files below a folder, as paths from the root. */
function listSources(folder: string): string[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return FOREIGN_FOLDERS.has(entry.name) ? [] : listSources(name);
    return /\.(?:ts|mjs|py)$/.test(entry.name) ? [name] : [];
  });
}

const sources = SOURCE_FOLDERS.flatMap(listSources);
/** The folder of each. */
const folders = sources.map((file) => path.posix.dirname(file));

/** The folders of the first column of the table "Folders", without the slash at their end. */
function readDocumentedFolders(): string[] {
  const page = readFileSync(path.join(ROOT, "docs", "architecture.md"), "utf8");
  const rows = page
    .split("\n## Folders\n")[1]
    ?.split("\n")
    .filter((line) => line.startsWith("| `"));
  return (rows ?? []).flatMap((row) =>
    [...(row.split(" | ")[0] ?? "").matchAll(/`([^`]+)\/`/g)].map(([, name = ""]) => name),
  );
}

/** The comment that a file opens with, as plain text; empty when it opens with something else. */
function readOpening(file: string): string {
  const text = readFileSync(path.join(ROOT, file), "utf8");
  if (file.endsWith(".py")) return /^(?:#!.*\n)?"""([^]*?)"""/.exec(text)?.[1] ?? "";
  return readTypeScriptOpening(file, text);
}

/** The comment at the top, or else that of the first export; the types of its options may come before it. */
function readTypeScriptOpening(file: string, text: string): string {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest);
  const exported = source.statements.filter(
    (node) =>
      ts.canHaveModifiers(node) &&
      ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword),
  );
  const isType = (node: ts.Node) =>
    ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node);
  const first = exported.find((node) => !isType(node)) ?? exported[0];
  const comment =
    ts.getLeadingCommentRanges(text, ts.getShebang(text)?.length ?? 0)?.[0] ??
    ts.getLeadingCommentRanges(text, first?.pos ?? text.length)?.at(-1);
  const lines = text.slice(comment?.pos ?? 0, comment?.end ?? 0);
  return lines.replaceAll(/^(?:\/\*\*?|\/\/| \*\/?)|\*\/$/gm, "");
}

/** Whether a text begins with a sentence of some words that ends, as a sentence or a heading of what follows. */
function startsWithSentence(text: string): boolean {
  const [paragraph = ""] = text.trim().split(/\n\s*\n/);
  return (
    /^[\w`"']/.test(paragraph) &&
    paragraph.split(/\s+/).length >= 3 &&
    /[.:](?:\s|$)/.test(paragraph)
  );
}

/** A test that is named like a source file is about that file, and needs no sentence to say so. */
function isNamedAfterItsSubject(file: string): boolean {
  const subject = /^test\/(.+)\.test\.ts$/.exec(file)?.[1] ?? "";
  return sources.includes(`src/${subject}.ts`) || sources.includes(`${subject}.mjs`);
}

test("every folder with source files has its line in docs/architecture.md", () => {
  const documented = readDocumentedFolders();

  expect(folders.filter((folder) => !documented.includes(folder))).toEqual([]);
});

test("no folder has more than 15 source files", () => {
  const isFull = (name: string) => folders.filter((one) => one === name).length > MOST_FILES;

  expect(folders.filter(isFull)).toEqual([]);
});

test("every line of docs/architecture.md names a folder that exists, once", () => {
  const documented = readDocumentedFolders();

  const isFolder = (name: string) =>
    statSync(path.join(ROOT, name), { throwIfNoEntry: false })?.isDirectory() ?? false;
  expect(documented.filter((name) => !isFolder(name))).toEqual([]);
  expect(documented).toEqual([...new Set(documented)]);
  expect(documented).toEqual(expect.arrayContaining(SOURCE_FOLDERS));
});

test("every source file opens with a sentence that says what it is for", () => {
  const mute = sources
    .filter((file) => statSync(path.join(ROOT, file)).size > 0)
    .filter((file) => !isNamedAfterItsSubject(file))
    .filter((file) => !startsWithSentence(readOpening(file)));

  expect(mute).toEqual([]);
});
