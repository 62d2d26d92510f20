/** The listeners of one event. */
export class Listeners<T = void> {
  readonly #all = new Set<(value: T) => void>();

  /** Returns what removes it. */
  add(listener: (value: T) => void): () => void {
    this.#all.add(listener);
    return () => this.#all.delete(listener);
  }

  notify(value: T): void {
    for (const listener of this.#all) listener(value);
  }
}
