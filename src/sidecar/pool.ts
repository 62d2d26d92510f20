import { Listeners } from "./listeners.js";
import type { SidecarState, SidecarStatus } from "./status.js";
import type { Supervisor } from "./supervisor.js";
import type { Seat, SeatKind, TaskRunner } from "./task.js";

/** From the state that serves best to the one that serves least. */
const STATES_BY_USE: readonly SidecarState[] = [
  "ready",
  "loading",
  "starting",
  "draining",
  "backing_off",
  "failed",
  "stopped",
];

/** What a pool needs of a member. */
type PoolMember = Pick<
  Supervisor,
  keyof TaskRunner | "freeSeats" | "status" | "onStatus" | "start" | "restart" | "stop" | "kill"
>;

/** Several sidecars as one: a task goes to the one with most free seats, and one that dies leaves the others. */
export class SidecarPool implements TaskRunner {
  readonly #members: readonly PoolMember[];
  readonly #statusListeners = new Listeners();
  readonly #seatListeners = new Listeners();
  #reserved: PoolMember | null = null;
  #rolling: Promise<void> | null = null;
  #isStopping = false;

  /** @param members - at least one. */
  constructor(members: readonly PoolMember[]) {
    if (members.length === 0) throw new Error("a pool has at least one sidecar");
    this.#members = members;
    for (const member of members) {
      member.onStatus(() => {
        this.#statusListeners.notify();
        // A task that waits for this one has to look for another.
        const isLost = member === this.#reserved && !isHopeful(member.status());
        if (isLost) this.#seatListeners.notify();
      });
      member.onSeat(() => {
        this.#seatListeners.notify();
      });
    }
  }

  start(): void {
    for (const member of this.#members) member.start();
  }

  /** The status of the member that serves best: the pool is ready when one of them is. */
  status(): SidecarStatus {
    const [best] = [...this.statuses()].sort(compareUse);
    if (best === undefined) throw new Error("a pool has at least one sidecar");
    return best;
  }

  /** The status of every member, in order. */
  statuses(): readonly SidecarStatus[] {
    return this.#members.map((member) => member.status());
  }

  /** Calls `listener` after each change of a member's state or phase; returns what removes it. */
  onStatus(listener: () => void): () => void {
    return this.#statusListeners.add(listener);
  }

  onSeat(listener: () => void): () => void {
    return this.#seatListeners.add(listener);
  }

  takeSeat(kind: SeatKind): Seat | null {
    if (kind === "alone" && this.#reserved !== null) return this.#reserved.takeSeat(kind);
    const byRoom = [...this.#members].sort((one, other) => other.freeSeats() - one.freeSeats());
    for (const member of byRoom) {
      const seat = member.takeSeat(kind);
      if (seat !== null) return seat;
    }
    return null;
  }

  /** Keeps the member free that has least to do; one that just died and comes back is the best. */
  reserve(isWanted: boolean): void {
    const kept = this.#reserved;
    if (kept !== null && (!isWanted || !isHopeful(kept.status()))) {
      this.#reserved = null;
      kept.reserve(false);
    }
    if (!isWanted || this.#reserved !== null) return;
    const hopeful = this.#members.filter((member) => isHopeful(member.status()));
    const [first] = hopeful.sort((one, other) => one.status().running - other.status().running);
    this.#reserved = first ?? null;
    first?.reserve(true);
  }

  /** Restarts every member, one after the other. A second call waits for the first. */
  async restart({ drainMs }: { readonly drainMs: number }): Promise<void> {
    this.#rolling ??= this.#restartAll(drainMs).finally(() => {
      this.#rolling = null;
    });
    await this.#rolling;
  }

  async stop(options: { readonly drainMs: number }): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#members.map((member) => member.stop(options)));
  }

  kill(): void {
    this.#isStopping = true;
    for (const member of this.#members) member.kill();
  }

  async #restartAll(drainMs: number): Promise<void> {
    // Those that do not serve come first: one of them may take over from those that do.
    const isServing = (member: PoolMember) => Number(member.status().state === "ready");
    const members = [...this.#members].sort((one, other) => isServing(one) - isServing(other));
    for (const member of members) {
      if (this.#isStopping) return;
      const { generation } = member.status();
      await Promise.all([member.restart({ drainMs }), waitUntilRestarted(member, generation)]);
      // The next one may be the last that serves; what is wrong with this one is in the log.
      if (members.length > 1 && member.status().state !== "ready") return;
    }
  }
}

function compareUse(one: SidecarStatus, other: SidecarStatus): number {
  const byState = STATES_BY_USE.indexOf(one.state) - STATES_BY_USE.indexOf(other.state);
  if (byState !== 0) return byState;
  return (one.nextTryAt ?? 0) - (other.nextTryAt ?? 0);
}

/** Whether a sidecar works, or will before long. */
function isHopeful({ state, breaker }: SidecarStatus): boolean {
  return state !== "failed" && state !== "stopped" && breaker.state !== "open";
}

/** Waits until a later spawn than `generation` has become ready or has failed, or none will come. */
async function waitUntilRestarted(member: PoolMember, generation: number): Promise<void> {
  const isOver = (status: SidecarStatus) => {
    if (status.state === "stopped") return true;
    if (status.generation === generation) return status.state === "failed" && generation === 0;
    return !["starting", "loading", "draining"].includes(status.state);
  };
  if (isOver(member.status())) return;
  await new Promise<void>((resolve) => {
    const remove = member.onStatus(() => {
      if (!isOver(member.status())) return;
      remove();
      resolve();
    });
  });
}
