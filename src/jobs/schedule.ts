import type { Job, JobTask } from "./job.js";

/**
 * The order of the tasks that wait. Jobs take turns: each gives one task, then goes to the end of the
 * line. Suspects are kept apart, because each needs a sidecar of its own.
 */
export class Schedule {
  /** Jobs with waiting tasks; the first gives the next task. */
  #line: Job[] = [];
  #suspects: JobTask[] = [];

  add(job: Job): void {
    this.#line.push(job);
  }

  /** The task whose turn it is, or null when none waits. */
  next(): JobTask | null {
    return this.#line[0]?.nextTask() ?? null;
  }

  nextSuspect(): JobTask | null {
    return this.#suspects[0] ?? null;
  }

  /** Takes out a task that starts; the next job has its turn. */
  take(task: JobTask): void {
    const { job, state } = task;
    job.start(task);
    if (state === "suspect") {
      this.#suspects = this.#suspects.filter((other) => other !== task);
      return;
    }
    this.#line = this.#line.filter((other) => other !== job);
    const next = job.nextTask();
    // A task that was given back does not wait for its turn again.
    if (next !== null && next.attempt > 0) this.#line.unshift(job);
    else if (next !== null) this.#line.push(job);
  }

  /** Puts back a task that ended through no fault of its own: its job is the next. */
  putBack(task: JobTask): void {
    task.state = "waiting";
    this.#line = [task.job, ...this.#line.filter((job) => job !== task.job)];
  }

  /** Keeps a task until it can run alone. */
  suspect(task: JobTask): void {
    task.state = "suspect";
    this.#suspects.push(task);
  }

  /** Forgets a job that has ended. */
  remove(job: Job): void {
    this.#line = this.#line.filter((other) => other !== job);
    this.#suspects = this.#suspects.filter((task) => task.job !== job);
  }
}
