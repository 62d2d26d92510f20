/** Which Node, Python and build of JAX the set-up takes. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { chooseJaxBuild } from "../../scripts/lib/jax-build.mjs";
import { describeNodeProblem } from "../../scripts/lib/node-version.mjs";
import { findPython, probePython } from "../../scripts/lib/python.mjs";
import { makeFolder } from "../support/folder.js";

const NONE_FOUND = /Python 3\.11 or newer is needed, and none was found.*Install/;

/** A program that answers the question for its version as a Python would. */
function createPython(name: string, answer: string): string {
  const file = join(makeFolder(), name);
  writeFileSync(file, `#!/bin/sh\n${answer}\n`, { mode: 0o755 });
  return file;
}

describe("Node", () => {
  test.each(["20.19.0", "20.20.2", "22.0.0", "24.1.0"])("%s will do", (version) => {
    expect(describeNodeProblem(version)).toBeNull();
  });

  test.each(["18.20.4", "20.18.3"])("%s is refused with what to install", (version) => {
    expect(describeNodeProblem(version)).toMatch(/^Node 20\.19 or newer is needed.*Install/);
  });
});

describe("Python", () => {
  test.each(["3.11.2", "3.12.0", "3.13.1", "3.14.0"])("%s with venv will do", (version) => {
    const command = createPython(`python-${version}`, `echo ${version} venv`);
    expect(findPython(command)).toEqual({ command, version, hasVenv: true });
  });

  test.each([
    [
      "is too old",
      "echo 3.9.2 venv",
      /or newer is needed, and .*python is Python 3\.9\.2\. Install/,
    ],
    ["has no venv", "echo 3.11.2 bare", /venv module is missing.*apt-get install python3\.11-venv/],
    ["fails", "exit 3", NONE_FOUND],
    ["is another program", "echo hello", NONE_FOUND],
    ["is missing", null, NONE_FOUND],
  ])("that %s gives a sentence with what to install", (_, answer, sentence) => {
    const command = answer === null ? "/nowhere/python" : createPython("python", answer);
    expect(() => findPython(command)).toThrow(sentence);
  });

  test("of the path is the newest that can be used", () => {
    const versions: Record<string, string> = {
      "python3.13": "3.13.0 bare",
      "python3.12": "3.12.1 venv",
      python3: "3.9.0 venv",
    };
    const found = findPython(undefined, (name) =>
      name in versions ? probePython(createPython(name, `echo ${versions[name] ?? ""}`)) : null,
    );
    expect(found.version).toBe("3.12.1");
  });

  test("that runs these tests is found", () => {
    expect(findPython(undefined).version).toMatch(/^3\.\d+\.\d+$/);
  });
});

describe("the build of JAX", () => {
  test.each([
    [undefined, false, "cpu"],
    [undefined, true, "cuda"],
    ["", true, "cuda"],
    ["cpu", true, "cpu"],
    ["cuda", false, "cuda"],
  ] as const)("for DALLE_SETUP_JAX %s with driver %s is %s", (wanted, hasDriver, build) => {
    expect(chooseJaxBuild(wanted, hasDriver)).toBe(build);
  });

  test("is refused when the setting is neither", () => {
    expect(() => chooseJaxBuild("rocm", false)).toThrow(/"rocm"; it must be "cpu" or "cuda"/);
  });
});
