import type { SamplingSettings, Task } from "../sidecar/task.js";
import type { Job } from "./job.js";

/** `suspect`: waits to run alone, because a sidecar died while it had the task. */
export type TaskState = "waiting" | "suspect" | "running" | "done";

/** One image of a job: what the sidecar gets, and how far it is. */
export class JobTask implements Task {
  readonly taskId: string;
  attempt = 0;
  /** How often a sidecar died with it. */
  deaths = 0;
  /** Image tokens of the running attempt. */
  tokens = 0;
  state: TaskState = "waiting";

  constructor(
    readonly job: Job,
    readonly index: number,
    readonly seed: number,
  ) {
    this.taskId = `${job.id}/${index}`;
  }

  get prompt(): string {
    return this.job.spec.prompt;
  }

  get sampling(): SamplingSettings {
    return this.job.spec.sampling;
  }

  get deadlineInMs(): number {
    return this.job.remainingMs();
  }
}
