import { AppError } from "../errors.js";

/** The one error of wrong settings; it lists every problem. */
export function createConfigError(problems: readonly string[]): AppError {
  const list = problems.map((problem) => `  - ${problem}`).join("\n");
  return new AppError(
    "config_invalid",
    `The settings are not valid:\n${list}\n(--help lists them.)`,
  );
}
