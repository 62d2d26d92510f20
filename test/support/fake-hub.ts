/** A hub on this machine, which serves checkpoints of the fixtures well or badly. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { FIXTURES, PYTHON } from "../harness/paths.mjs";

const portSchema = z.object({ port: z.int() });

/** test/fixtures/fake_hub.py with upstream's tiny model as `tiny/mini` and its VQGAN as `tiny/vqgan`. */
export class FakeHub {
  readonly folder: string;
  readonly #child: ChildProcess;
  readonly #port: number;

  private constructor(folder: string, child: ChildProcess, port: number) {
    this.folder = folder;
    this.#child = child;
    this.#port = port;
  }

  /** `faults` as in the fixture; `{folder}` in it is a folder of this hub's own. */
  static async start(faults: object = {}): Promise<FakeHub> {
    const folder = await mkdtemp(path.join(tmpdir(), "dalle-hub-"));
    const repos = path.join(folder, "repos", "tiny");
    await mkdir(repos, { recursive: true });
    await symlink(path.join(FIXTURES, "upstream", "models", "mini-scan"), path.join(repos, "mini"));
    await symlink(path.join(FIXTURES, "upstream", "vqgan"), path.join(repos, "vqgan"));
    const program = path.join(FIXTURES, "fake_hub.py");
    const text = JSON.stringify(faults).replaceAll("{folder}", folder);
    const child = spawn(
      PYTHON,
      [program, "--folder", path.join(folder, "repos"), "--faults", text],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const lines = createInterface(child.stdout);
    const [first] = z.tuple([z.string()]).parse(await once(lines, "line"));
    return new FakeHub(folder, child, portSchema.parse(JSON.parse(first)).port);
  }

  /** What a server needs to know to use this hub, with an empty cache, and nothing else. */
  get env(): Readonly<Record<string, string>> {
    return {
      HF_ENDPOINT: `http://127.0.0.1:${this.#port}`,
      HF_HOME: path.join(this.folder, "home"),
      HF_HUB_OFFLINE: "",
      NO_PROXY: "127.0.0.1",
      no_proxy: "127.0.0.1",
    };
  }

  async dispose(): Promise<void> {
    const closed = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await closed;
    await rm(this.folder, { recursive: true });
  }
}
