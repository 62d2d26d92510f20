/** The page of `/metrics`, read as Prometheus reads it. */
export class MetricsPage {
  /** The names of the metrics, each with its type. */
  readonly types: ReadonlyMap<string, string>;
  readonly #samples: ReadonlyMap<string, number>;

  constructor(text: string) {
    const types = text.matchAll(/^# TYPE (\S+) (\S+)$/gm);
    const samples = text.matchAll(/^([^#\n].*) (\S+)$/gm);
    this.types = new Map(Array.from(types, ([, name = "", type = ""]) => [name, type]));
    this.#samples = new Map(Array.from(samples, ([, name = "", value]) => [name, Number(value)]));
  }

  static async fetch(url: string): Promise<MetricsPage> {
    return new MetricsPage(await (await fetch(`${url}/metrics`)).text());
  }

  /** The value of a sample, written as on the page: `name` or `name{label="value"}`. */
  get(sample: string): number | undefined {
    return this.#samples.get(sample);
  }

  /** The samples of a metric: their labels as on the page, and their values. */
  all(name: string): Record<string, number> {
    const own = [...this.#samples].filter(([sample]) => sample.split("{")[0] === name);
    return Object.fromEntries(own.map(([sample, value]) => [sample.slice(name.length), value]));
  }
}
