import { FLAG_GROUPS, type Flag } from "../config/flags.js";
import { envName } from "../config/read.js";

/** The text of `--help`: the flags in groups, each with its meaning, default and environment variable. */
export function formatHelp(version: string): string {
  const groups = FLAG_GROUPS.map(({ title, flags }) =>
    [`${title}:`, ...flags.map(formatFlag), ""].join("\n"),
  );
  return [
    `dalle-server ${version}: turns text into pictures over HTTP.`,
    "",
    "Usage: npm start -- [--flag value]...                 serve",
    "       npm start -- models                            list the models: size, memory, where",
    "       npm start -- pull NAME|hf:owner/name           fetch a model without serving it",
    "",
    "A flag may be written --flag value or --flag=value, with _ or -. A flag beats its variable.",
    "",
    ...groups,
    "Other:",
    "  --help\n        show this text",
    "  --version\n        show the version",
    "",
  ].join("\n");
}

function formatFlag(flag: Flag): string {
  const fallback = flag.default ?? flag.defaultText ?? "none";
  return [
    `  --${flag.name} ${flag.placeholder}`,
    `        ${flag.about}`,
    `        default: ${fallback}   variable: ${envName(flag.name)}`,
  ].join("\n");
}
