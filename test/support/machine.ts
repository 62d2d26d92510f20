/** A machine for settings: its package, home and working folder in one temporary folder. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { readCommand, type Command, type Config } from "../../src/config/config.js";

export type Env = Record<string, string | undefined>;

const WEIGHTS = "flax_model.msgpack";

export class Machine {
  readonly root: string;
  readonly packageRoot: string;
  /** Where the Hugging Face cache is without a variable. */
  readonly hub: string;

  private constructor(root: string) {
    this.root = root;
    this.packageRoot = path.join(root, "package");
    this.hub = path.join(root, "home", ".cache", "huggingface", "hub");
  }

  /** With version 1.2.3 and the embedded model Nano, and nothing else. */
  static async create(): Promise<Machine> {
    const machine = new Machine(await mkdtemp(path.join(tmpdir(), "dalle-test-")));
    await machine.addEmbedded("nano");
    await writeFile(path.join(machine.packageRoot, "package.json"), `{"version": "1.2.3"}`);
    return machine;
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
  async addEmbedded(name: string): Promise<string> {
    const folder = path.join(this.packageRoot, "checkpoints", name);
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, WEIGHTS), "");
    return folder;
  }

  /** Puts a snapshot of a repository into a Hugging Face cache. */
  async addSnapshot(
    name: string,
    { hub = this.hub, commit = "abc123", files = ["config.json", "tokenizer.json", WEIGHTS] } = {},
  ): Promise<string> {
    const folder = path.join(hub, `models--${name.replace("/", "--")}`, "snapshots", commit);
    await mkdir(folder, { recursive: true });
    for (const file of files) await writeFile(path.join(folder, file), "");
    return folder;
  }

  async dispose(): Promise<void> {
    await rm(this.root, { recursive: true });
  }
}
