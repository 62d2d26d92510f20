import { fileURLToPath } from "node:url";
import { defineConfig, includeIgnoreFile } from "eslint/config";
import tseslint from "typescript-eslint";

/**
 * Which other parts of src/ a part may import: main -> http -> jobs -> sidecar -> wire -> errors, with images beside
 * sidecar, metrics beside http and messages below wire. A part is a folder, or a file of src/ without its ending. Nobody imports main; main imports everything.
 */
const MAY_IMPORT = {
  http: ["jobs", "images", "errors", "log", "version"],
  metrics: ["jobs", "sidecar", "errors", "version"],
  jobs: ["sidecar", "images", "errors", "log", "version"],
  sidecar: ["wire", "messages", "errors", "log", "version"],
  images: ["errors", "log", "version"],
  wire: ["messages", "errors", "version"],
  messages: [],
  config: ["errors", "version"],
  log: [],
  errors: [],
  version: [],
};

/** The one place that may import a package, so that replacing it touches nothing else. */
const VENDOR_HOME = {
  express: "src/http/",
  cors: "src/http/",
  sharp: "src/images/",
  execa: "src/sidecar/process.ts",
  "node:child_process": "src/sidecar/process.ts",
  zeromq: "src/sidecar/transport",
  "prom-client": "src/metrics/",
  pino: "src/log.ts",
};

const PARTS = [...Object.keys(MAY_IMPORT), "main"];

function vendorPaths(place) {
  return Object.entries(VENDOR_HOME)
    .filter(([, home]) => !place.startsWith(home))
    .map(([name, home]) => ({ name, message: `Only ${home} may import ${name}.` }));
}

/** Patterns of the imports that are closed to a part; `up` is how its files name src/. */
function directionPatterns(part, up) {
  const open = MAY_IMPORT[part];
  return PARTS.filter((other) => other !== part && !open.includes(other)).map((other) => ({
    regex: `^${up}${other}(?:\\.js$|/)`,
    message: `${part} may not import ${other}; it may import: ${open.join(", ") || "nothing of src/"}.`,
  }));
}

function restrictedImports(files, place, patterns) {
  const options = { paths: vendorPaths(place), patterns };
  return { files, rules: { "no-restricted-imports": ["error", options] } };
}

const FROM_SRC = "\\./";
const FROM_FOLDER = "(?:\\.\\./)+";

/** Two blocks for each part, its file and its folder, then one for each file that is the home of a package. */
const importRules = [
  restrictedImports(["src/main.ts"], "src/main.ts", []),
  ...Object.keys(MAY_IMPORT).flatMap((part) => [
    restrictedImports([`src/${part}.ts`], `src/${part}.ts`, directionPatterns(part, FROM_SRC)),
    restrictedImports(
      [`src/${part}/**/*.ts`],
      `src/${part}/`,
      directionPatterns(part, FROM_FOLDER),
    ),
  ]),
  ...[
    "src/sidecar/process.ts",
    "src/sidecar/transport.ts",
    "src/sidecar/transport-security.ts",
  ].map((file) => restrictedImports([file], file, directionPatterns("sidecar", FROM_FOLDER))),
];

export default defineConfig(
  includeIgnoreFile(fileURLToPath(new URL(".gitignore", import.meta.url))),
  { ignores: ["test/fixtures/"] },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["eslint.config.js", "vitest.config.ts"] },
      },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-console": "error",
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    files: ["src/**/*.ts"],
    rules: {
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/prefer-readonly": "error",
      "max-lines": ["error", { max: 250 }],
      "max-lines-per-function": ["error", { max: 50, skipComments: true }],
      "no-restricted-syntax": [
        "error",
        { selector: "ExportDefaultDeclaration", message: "Export by name." },
        {
          selector: "ImportExpression",
          message: "Import at the top, where the import rules see it.",
        },
      ],
    },
  },
  {
    files: ["src/**/*.ts"],
    ignores: ["src/config.ts", "src/main.ts"],
    rules: {
      "no-restricted-properties": [
        "error",
        ...["env", "argv"].map((property) => ({
          object: "process",
          property,
          message: "Settings are read in src/config.ts and handed down.",
        })),
      ],
    },
  },
  ...importRules,
  { files: ["test/**/*.ts"], rules: { "max-lines": ["error", { max: 400 }] } },
  { files: ["eslint.config.js"], extends: [tseslint.configs.disableTypeChecked] },
);
