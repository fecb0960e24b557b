import { Counter, Histogram, Registry } from "prom-client";
import { expect, it } from "vitest";
import { PlainCounter, PlainHistogram } from "./plain-series.ts";

const LABELS = [
  { model: "a", node: "n" },
  { model: 'q"uo\\te\n', node: "" },
];
const BOUNDS = [0.1, 0.5, 2.5];

it("PlainCounter is scraped like prom-client's own counter, without series that were never added to", async () => {
  const [plain, own] = [new Registry(), new Registry()];
  const head = { name: "t", help: "Tests.", labelNames: ["model", "node"] };
  const counter = new PlainCounter({ ...head, registry: plain });
  const reference = new Counter({ ...head, registers: [own] });
  counter.series({ model: "never", node: "n" });
  for (const labels of LABELS) {
    const series = counter.series(labels);
    for (const value of [1, 3.5]) {
      series.value += value;
      reference.inc(labels, value);
    }
  }
  expect(await plain.metrics()).toBe(await own.metrics());
  expect(await plain.metrics()).toBe(await own.metrics());
});

it("PlainHistogram is scraped like prom-client's own histogram, as text and as JSON", async () => {
  const [plain, own] = [new Registry(), new Registry()];
  const head = { name: "t_seconds", help: "Tests.", labelNames: ["model", "node"] };
  const histogram = new PlainHistogram({ ...head, registry: plain }, BOUNDS);
  const reference = new Histogram({ ...head, buckets: BOUNDS, registers: [own] });
  histogram.series({ model: "never", node: "n" });
  for (const labels of LABELS) {
    const series = histogram.series(labels);
    for (const value of [0, 0.1, 0.10001, 2.5, 7, 1e9]) {
      series.observe(value);
      reference.observe(labels, value);
    }
  }
  expect(await plain.metrics()).toBe(await own.metrics());
  expect(await plain.getMetricsAsJSON()).toEqual(
    (await own.getMetricsAsJSON()).map((metric) => ({ ...metric, values: metric.values.map(withoutExemplar) })),
  );
});

function withoutExemplar(value: object): object {
  const { exemplar: _, ...rest } = value as { exemplar?: unknown };
  return rest;
}
