import { fileURLToPath } from "node:url";
import { defineConfig, includeIgnoreFile } from "eslint/config";
import tseslint from "typescript-eslint";

/**
 * Which other parts of src/ a part may import: main -> commands -> config -> service -> http -> jobs
 * -> sidecar -> wire -> errors. A part is a folder, or a file of src/ without its ending. Parts own the
 * types of their options; config imports those types, and only main and the commands import config.
 */
const MAY_IMPORT = {
  main: ["commands", "config", "errors"],
  commands: ["config", "service", "checkpoint", "images", "sidecar", "errors", "log"],
  config: ["service", "checkpoint", "sidecar", "images", "errors", "log"],
  service: ["http", "health", "jobs", "images", "sidecar", "errors", "log"],
  http: ["health", "jobs", "images", "errors", "log"],
  health: ["jobs", "sidecar", "images", "errors"],
  jobs: ["sidecar", "images", "errors", "log"],
  sidecar: ["wire", "errors", "log"],
  checkpoint: ["errors"],
  images: ["errors", "log"],
  wire: ["errors"],
  log: [],
  errors: [],
};

/** The one place that may import a package, so that replacing it touches nothing else. */
const VENDOR_HOME = {
  express: "src/http/",
  cors: "src/http/",
  sharp: "src/images/",
  execa: "src/sidecar/process/",
  "node:child_process": "src/sidecar/process/",
  zeromq: "src/sidecar/link/",
  "prom-client": "src/health/",
  pino: "src/log.ts",
};

const PARTS = Object.keys(MAY_IMPORT);

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

/** Two blocks for each part, its file and its folder, then one for each folder that is the home of a package. */
const importRules = [
  ...PARTS.flatMap((part) => [
    restrictedImports([`src/${part}.ts`], `src/${part}.ts`, directionPatterns(part, FROM_SRC)),
    restrictedImports(
      [`src/${part}/**/*.ts`],
      `src/${part}/`,
      directionPatterns(part, FROM_FOLDER),
    ),
  ]),
  ...["src/sidecar/process/", "src/sidecar/link/"].map((home) =>
    restrictedImports([`${home}*.ts`], home, directionPatterns("sidecar", FROM_FOLDER)),
  ),
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
    ignores: ["src/config/config.ts"],
    rules: {
      "no-restricted-properties": [
        "error",
        ...["env", "argv"].map((property) => ({
          object: "process",
          property,
          message: "Settings are read in src/config/config.ts and handed down.",
        })),
      ],
    },
  },
  ...importRules,
  { files: ["test/**/*.ts"], rules: { "max-lines": ["error", { max: 400 }] } },
  { files: ["eslint.config.js"], extends: [tseslint.configs.disableTypeChecked] },
);
