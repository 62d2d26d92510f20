/** A machine for settings: its package, home and working folder in one temporary folder. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { readCommand, type Command, type Config } from "../../src/config/config.js";
import { makeFolder } from "./folder.js";

export type Env = Record<string, string | undefined>;

const WEIGHTS = "flax_model.msgpack";

/** With version 1.2.3 and the embedded model Nano, and nothing else. It is gone after the test. */
export class Machine {
  readonly root = makeFolder();
  readonly packageRoot = path.join(this.root, "package");
  /** Where the Hugging Face cache is without a variable. */
  readonly hub = path.join(this.root, "home", ".cache", "huggingface", "hub");

  constructor() {
    this.addEmbedded("nano");
    writeFileSync(path.join(this.packageRoot, "package.json"), `{"version": "1.2.3"}`);
  }

  run(argv: readonly string[], env: Env = {}): Command {
    const { root, packageRoot } = this;
    return readCommand({ argv, env, cwd: root, home: path.join(root, "home"), packageRoot });
  }

  read(argv: readonly string[], env: Env = {}): Config {
    const command = this.run(argv, env);
    if (!("config" in command)) throw new Error("expected a configuration");
    return command.config;
  }

  /** Puts weights into the package. */
  addEmbedded(name: string): string {
    return writeFiles(path.join(this.packageRoot, "checkpoints", name), [WEIGHTS]);
  }

  /** Puts a snapshot of a repository into a Hugging Face cache. */
  addSnapshot(
    name: string,
    { hub = this.hub, commit = "abc123", files = ["config.json", "tokenizer.json", WEIGHTS] } = {},
  ): string {
    const repository = `models--${name.replace("/", "--")}`;
    return writeFiles(path.join(hub, repository, "snapshots", commit), files);
  }
}

/** Creates a folder of empty files. */
function writeFiles(folder: string, names: readonly string[]): string {
  mkdirSync(folder, { recursive: true });
  for (const name of names) writeFileSync(path.join(folder, name), "");
  return folder;
}
