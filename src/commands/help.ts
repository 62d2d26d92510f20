/** The texts of `--help` and `--help all`. */
import { FLAGS, type Flag } from "../config/flags.js";

/** Where the meaning of a flag begins. */
const COLUMN = 30;
/** As many whole words as fit behind that in 100 columns. */
const LINE = /\S.{0,69}(?!\S)/g;
/** The groups of the settings that people set; the others are for `--help all`. */
const COMMON_GROUPS: readonly (string | undefined)[] = ["Serving", "Model", "Images"];

/** On one screen unless `isAll`: how to start it, then the settings with their defaults. */
export function formatHelp(version: string, isAll: boolean): string {
  const groups = [...new Set(FLAGS.map(({ group }) => group))];
  const shown = isAll ? groups : groups.filter((group) => COMMON_GROUPS.includes(group));
  const texts = shown.flatMap((group) => {
    const lines = FLAGS.filter((flag) => flag.group === group).flatMap(formatFlag);
    return isAll ? ["", `${group ?? ""}:`, ...lines] : lines;
  });
  return [
    `dalle-server ${version}: turns text into pictures over HTTP.`,
    "",
    "  npm start -- [--flag value]...       serve",
    "  npm start -- models                  list the models: size, memory, where",
    "  npm start -- pull NAME               fetch a model (or hf:owner/name) without serving it",
    ...(isAll ? [] : [""]),
    ...texts,
    "",
    "Each flag is also an environment variable (--port: DALLE_PORT); the flag wins.",
    "--help all lists every flag, --version prints the version.",
    "",
  ].join("\n");
}

/** The flag, what it means, and its default in brackets, on as many lines as that takes. */
function formatFlag({ name, placeholder, about, ...docs }: Flag): readonly string[] {
  const text = `${about} [${docs.default ?? docs.defaultText ?? "none"}]`;
  const lines = text.match(LINE) ?? [];
  const head = `  --${name} ${placeholder}`;
  return lines.map((line, index) => (index === 0 ? head : "").padEnd(COLUMN) + line.trimEnd());
}
