/** The tables of docs/operations.md hold every setting, metric, state and code, and nothing else. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { ANSWER_GRACE_MS, GOODBYE_MS } from "../../src/commands/serve.js";
import { FLAGS, type Flag } from "../../src/config/flags.js";
import { SIDECAR_STATES } from "../../src/sidecar/status.js";
import { ROOT } from "../harness/paths.mjs";
import { MetricsPage } from "../support/metrics-page.js";
import { startTestServer } from "../support/test-server.js";

const PAGE = path.join(ROOT, "docs", "operations.md");

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

async function startServer() {
  const server = await startTestServer();
  onTestFinished(() => server.close());
  return server;
}

const healthSchema = z.object({ sidecar: z.record(z.string(), z.unknown()) });

/** How the page words the default of a setting. */
function formatDefault(flag: Flag): string {
  const text = flag.default ?? flag.defaultText ?? "none";
  return flag.placeholder === "SECONDS" ? `${text} s` : text;
}

describe("docs/operations.md", () => {
  test("lists every metric with its type, and no other", async () => {
    const server = await startServer();
    const { types } = await MetricsPage.fetch(server.url);
    const own = [...types].filter(([name]) => !isVendors(name));

    const documented = (await readRows("Metrics"))
      .map(([name = "", type = ""]) => [name, type])
      .filter(([name = ""]) => !isVendors(name));

    expect(documented.sort()).toEqual(own.sort());
    expect(own.length).toBeGreaterThan(30);
  });

  test("lists every setting with its default and its meaning, as --help all does", async () => {
    const expected = FLAGS.map((flag) => [`--${flag.name}`, formatDefault(flag), flag.about]);

    expect(await readRows("Settings")).toEqual(expected);
  });

  test("explains every state and every field of /health_check", async () => {
    const server = await startServer();
    const report = healthSchema.parse(await (await fetch(`${server.url}/health_check`)).json());

    const names = (await readRows("The life of a sidecar")).flatMap(([cell = ""]) =>
      cell.split(", "),
    );

    const fields = Object.keys(report.sidecar);
    expect(names.sort()).toEqual([...new Set([...SIDECAR_STATES, "stopping", ...fields])].sort());
  });

  test("gives the server as long to stop as it may need with its defaults", async () => {
    const page = await readFile(PAGE, "utf8");
    const defaultOf = (name: string) =>
      Number(FLAGS.find((flag) => flag.name === name)?.default ?? Number.NaN);
    const sidecarS = GOODBYE_MS / 1000 + defaultOf("kill_grace");
    const leavingS = Math.max(ANSWER_GRACE_MS / 1000, sidecarS);

    const limits = ["TimeoutStopSec=", "terminationGracePeriodSeconds: "].map((name) =>
      Number.parseInt(page.split(name)[1] ?? "", 10),
    );

    expect(Math.min(...limits)).toBeGreaterThan(defaultOf("drain_timeout") + leavingS);
  });

  test("names probes that the server answers", async () => {
    const server = await startServer();
    const page = await readFile(PAGE, "utf8");

    const paths = [...page.matchAll(/path: (\S+), port: 8000/g)].map((match) => match[1] ?? "");

    expect(paths).toEqual(["/health_check", "/ready"]);
    for (const path of paths) expect((await fetch(server.url + path)).status).toBe(200);
  });
});
