import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { MetricsPage } from "./support/metrics-page.js";
import { startTestServer } from "./support/test-server.js";

const PAGE = fileURLToPath(new URL("../docs/operations.md", import.meta.url));

/** The rows of every table under a heading of the page, without heads and rules; cells without backticks. */
async function readRows(heading: string): Promise<string[][]> {
  const page = await readFile(PAGE, "utf8");
  const [, section = ""] = page.split(`\n## ${heading}\n`);
  const [own = ""] = section.split("\n## ");
  return own
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .slice(1, -1)
        .split(" | ")
        .map((cell) => cell.replaceAll("`", "").trim()),
    );
}

/** What prom-client counts by itself, which the page names by their beginnings. */
const isVendors = (name: string) => /^(?:process|nodejs)_/.test(name);

describe("docs/operations.md", () => {
  test("lists every metric with its type, and no other", async () => {
    const server = await startTestServer();
    onTestFinished(() => server.close());
    const { types } = await MetricsPage.fetch(server.url);
    const own = [...types].filter(([name]) => !isVendors(name));

    const documented = (await readRows("Metrics"))
      .map(([name = "", type = ""]) => [name, type])
      .filter(([name = ""]) => !isVendors(name));

    expect(documented.sort()).toEqual(own.sort());
    expect(own.length).toBeGreaterThan(30);
  });
});
