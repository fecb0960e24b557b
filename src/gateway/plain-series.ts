import { Counter, Histogram, type Registry } from "prom-client";

type Labels<Label extends string> = Readonly<Record<Label, string>>;

interface Description<Label extends string> {
  name: string;
  help: string;
  labelNames: Label[];
  registry: Registry;
}

/** A counter's number for one set of labels: whoever counts adds to `value`. */
export interface CountSeries<Label extends string = string> {
  readonly labels: Labels<Label>;
  value: number;
}

/**
 * A counter whose numbers are plain fields, which prom-client reads at a scrape. Its own counter looks labels up by a text that it
 * makes of them each time, which is most of what counting a request cost.
 *
 * Series stay until the end: whoever makes them bounds them. One that was never added to is not shown.
 */
export class PlainCounter<Label extends string> {
  readonly #series: CountSeries<Label>[] = [];

  constructor({ name, help, labelNames, registry }: Description<Label>) {
    const all = this.#series;
    new Counter<Label>({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        for (const { labels, value } of all) if (value > 0) this.inc(labels, value);
      },
    });
  }

  /** Begins a series. Called once for each set of labels. */
  series(labels: Labels<Label>): CountSeries<Label> {
    const made = { labels, value: 0 };
    this.#series.push(made);
    return made;
  }
}

/** A histogram's numbers for one set of labels. */
export class DistributionSeries {
  readonly labels: Labels<string>;
  readonly #bounds: readonly number[];
  /** By bound, not added up; the last one is for what is above all bounds. */
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(labels: Labels<string>, bounds: readonly number[]) {
    this.labels = labels;
    this.#bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] as number)) index++;
    this.counts[index] = (this.counts[index] as number) + 1;
    this.sum += value;
    this.count++;
  }
}

/** The same for a histogram. */
export class PlainHistogram<Label extends string> extends Histogram<Label> {
  readonly #description: Description<Label>;
  readonly #bounds: readonly number[];
  readonly #series: DistributionSeries[] = [];

  constructor(description: Description<Label>, bounds: readonly number[]) {
    const { name, help, labelNames, registry } = description;
    super({ name, help, labelNames, buckets: [...bounds], registers: [registry] });
    this.#description = description;
    this.#bounds = bounds;
  }

  /** Begins a series. Called once for each set of labels. */
  series(labels: Labels<Label>): DistributionSeries {
    const made = new DistributionSeries(labels, this.#bounds);
    this.#series.push(made);
    return made;
  }

  // What prom-client 15 reads at a scrape; it has no public way in for counts by bucket. A test compares the text with its own.
  async getForPromString() {
    const { name, help } = this.#description;
    const values = this.#series.filter(({ count }) => count > 0).flatMap((series) => this.#values(series));
    return { name, help, type: "histogram", aggregator: "sum", values };
  }

  #values({ labels: sharedLabels, counts, sum, count }: DistributionSeries) {
    const { name } = this.#description;
    let below = 0;
    const buckets = this.#bounds.map((bound, index) => {
      below += counts[index] as number;
      return { metricName: `${name}_bucket`, labels: { le: bound }, sharedLabels, value: below };
    });
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { le: "+Inf" }, sharedLabels, value: count },
      { metricName: `${name}_sum`, labels: {}, sharedLabels, value: sum },
      { metricName: `${name}_count`, labels: {}, sharedLabels, value: count },
    ];
  }
}
