/** The sub-command of a command line. */
import { isHubAddress } from "../checkpoint/hub-address.js";

interface CommandLine {
  /** What the program is started for. */
  readonly word: "serve" | "models" | "pull";
  /** The flags behind it; the model of `pull` has become one. */
  readonly argv: readonly string[];
}

/** Takes the sub-command off the command line: none is `serve`. */
export function splitCommandLine(argv: readonly string[]): CommandLine {
  const [first, ...rest] = argv;
  if (first === "models") return { word: "models", argv: rest };
  if (first !== "pull") return { word: "serve", argv };
  const [target, ...flags] = rest;
  if (target === undefined || target.startsWith("-")) return { word: "pull", argv: rest };
  const flag = isHubAddress(target) ? "--checkpoint" : "--model_version";
  return { word: "pull", argv: [flag, target, ...flags] };
}
