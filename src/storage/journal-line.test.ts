import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AttemptRecord, Outcome, RequestClosed, RequestOpened } from "../usage/record.ts";
import { closedLine, decodeLines, encodeOpened, LINE_BYTES, openedLine } from "./journal-line.ts";

const text = fc.string({ unit: "binary", maxLength: 20 });
const count = fc.nat();

const opened: fc.Arbitrary<RequestOpened> = fc.record({
  id: text,
  endpointId: text,
  keyId: text,
  operation: text,
  model: text,
  workflow: fc.option(text),
  contingency: fc.option(text),
  isStream: fc.boolean(),
  openedAtMs: count,
  requestBytes: count,
});

const attempt: fc.Arbitrary<AttemptRecord> = fc.record({
  id: text,
  index: count,
  target: text,
  nodeId: fc.option(text),
  engine: text,
  engineModel: text,
  startedAtMs: count,
  endedAtMs: count,
  status: count,
  errorCode: fc.option(text),
  bytesOut: count,
});

const closed: fc.Arbitrary<RequestClosed> = fc.record({
  id: text,
  closedAtMs: count,
  outcome: fc.constantFrom<Outcome>("ok", "aborted", "failed", "stopped", "interrupted"),
  status: count,
  errorCode: fc.option(text),
  tokensIn: count,
  tokensInCached: count,
  tokensOut: count,
  tokensReasoning: fc.option(count),
  isEstimated: fc.boolean(),
  timeToFirstTokenMs: fc.option(count),
  durationMs: count,
  costMicros: count,
  contingency: fc.option(text),
  fallback: fc.option(text),
  attempts: fc.array(attempt, { maxLength: 3 }),
});

function bytes(...parts: string[]): Uint8Array {
  return new Uint8Array(Buffer.from(parts.join("")));
}

describe("journal lines", () => {
  it("give back what was written, whatever the texts hold", () => {
    fc.assert(
      fc.property(opened, closed, (first, second) => {
        const json = encodeOpened(first);
        const record = { ...second, id: first.id };
        const line = closedLine(json, record);
        expect(line.indexOf("\n")).toBe(line.length - 1);
        expect(decodeLines(bytes(openedLine(json), line))).toEqual({
          opened: [first],
          settled: [{ opened: first, closed: record }],
          unreadable: 0,
        });
      }),
    );
  });

  it("that were cut or overwritten anywhere never throw, cost only themselves and never turn into another record", () => {
    fc.assert(
      fc.property(
        opened,
        closed,
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        (first, second, at, noise) => {
          const json = encodeOpened(first);
          const line = closedLine(json, { ...second, id: first.id });
          const damaged = Buffer.from(line);
          damaged.set(noise.subarray(0, damaged.length - 1), at % Math.max(1, damaged.length - noise.length));
          const block = Buffer.concat([
            Buffer.from(line),
            damaged.subarray(0, -1),
            Buffer.from("\n"),
            Buffer.from(line),
          ]);
          const { settled } = decodeLines(new Uint8Array(block));
          expect(settled.length).toBeGreaterThanOrEqual(2);
          expect(settled.at(0)?.opened).toEqual(first);
          expect(settled.at(-1)?.opened).toEqual(first);
        },
      ),
    );
  });

  it("round fractions of milliseconds, which the databases do not take", () => {
    const [first] = fc.sample(opened, { numRuns: 1, seed: 1 }) as [RequestOpened];
    const [second] = fc.sample(closed, { numRuns: 1, seed: 1 }) as [RequestClosed];
    const record = { ...second, id: first.id, durationMs: 12.6, timeToFirstTokenMs: 3.2, attempts: [] };
    const { settled } = decodeLines(bytes(closedLine(encodeOpened(first), record)));
    expect(settled[0]?.closed).toMatchObject({ durationMs: 13, timeToFirstTokenMs: 3 });
  });

  it("of the first builds are read: objects, of which the oldest have no word of thinking, workflows and contingency", () => {
    fc.assert(
      fc.property(opened, closed, (first, second) => {
        const record = { ...second, id: first.id };
        const { workflow: _w, contingency: _o, ...oldFirst } = first;
        const { tokensReasoning: _t, contingency: _c, fallback: _f, ...oldRecord } = record;
        const block = bytes(
          `O${JSON.stringify(first)}\nC${JSON.stringify({ o: first, c: record })}\n`,
          `O${JSON.stringify(oldFirst)}\nC${JSON.stringify({ o: oldFirst, c: oldRecord })}\n`,
        );
        const older = { ...first, workflow: null, contingency: null };
        const olderClosed = { ...record, tokensReasoning: null, contingency: null, fallback: null };
        expect(decodeLines(block)).toEqual({
          opened: [first, older],
          settled: [
            { opened: first, closed: record },
            { opened: older, closed: olderClosed },
          ],
          unreadable: 0,
        });
      }),
    );
  });

  it("with fields that a later build added at the ends of its lists are read without them", () => {
    const [first] = fc.sample(opened, { numRuns: 1, seed: 4 }) as [RequestOpened];
    const [second] = fc.sample(closed, { numRuns: 1, seed: 4 }) as [RequestClosed];
    const [one] = fc.sample(attempt, { numRuns: 1, seed: 4 }) as [AttemptRecord];
    const record = { ...second, id: first.id, attempts: [one] };
    const line = closedLine(encodeOpened(first), record).replaceAll("]", ',"more",{"than":1}]');
    const later = line.replace(/,"more",\{"than":1\}\]\n$/, "]\n");
    expect(decodeLines(bytes(later))).toEqual({
      opened: [],
      settled: [{ opened: first, closed: record }],
      unreadable: 0,
    });
  });

  it("of another shape are unreadable: wrong types, other outcomes, too few fields, not finite, too long, no line feed", () => {
    const [first] = fc.sample(opened, { numRuns: 1, seed: 2 }) as [RequestOpened];
    const [second] = fc.sample(closed, { numRuns: 1, seed: 2 }) as [RequestClosed];
    const [one] = fc.sample(attempt, { numRuns: 1, seed: 2 }) as [AttemptRecord];
    // What the types forbid, a damaged disk may hold.
    const line = (o: object, c: object) =>
      closedLine(encodeOpened({ ...first, ...o }), { ...second, id: first.id, attempts: [one], ...c });
    const good = line({}, {});
    const firstBuilds = (o: object, c: object) =>
      `C${JSON.stringify({ o: { ...first, ...o }, c: { ...second, id: first.id, ...c } })}\n`;
    const bad = [
      line({}, { outcome: "won" }),
      line({ openedAtMs: "1" }, {}),
      line({}, { tokensOut: null }),
      line({}, { tokensReasoning: "7" }),
      line({}, { tokensIn: 1e300 }),
      line({}, { durationMs: Number.NaN }),
      line({ id: 7 }, {}),
      good.replace("]\n", ",null]\n"),
      good.replace("]\n", ",[]]\n"),
      `C[${encodeOpened(first)}]\n`,
      `C[${encodeOpened(first)},[]]\n`,
      `C${encodeOpened(first)}\n`,
      `O${encodeOpened(first).replace(/,[^,]*\]$/, "]")}\n`,
      firstBuilds({}, { outcome: "won" }),
      firstBuilds({}, { id: "other" }),
      firstBuilds({ openedAtMs: "1" }, {}),
      firstBuilds({}, { tokensOut: null }),
      firstBuilds({}, { attempts: [null] }),
      firstBuilds({ model: "m".repeat(LINE_BYTES) }, {}),
      'C{"o":[],"c":[]}\n',
      "X{}\n",
      "\n",
      "O[]\n",
      "O{}\n",
      "Onull\n",
    ];
    expect(decodeLines(bytes(...bad))).toEqual({ opened: [], settled: [], unreadable: bad.length });
    expect(decodeLines(bytes(good.slice(0, -1)))).toMatchObject({ settled: [], unreadable: 1 });
    for (const whole of [good, firstBuilds({}, {})])
      expect(decodeLines(bytes(whole))).toMatchObject({ settled: [{ opened: first }], unreadable: 0 });
  });

  it("stay short: a model name without end and attempts without end are cut", () => {
    const [first] = fc.sample(opened, { numRuns: 1, seed: 3 }) as [RequestOpened];
    const [second] = fc.sample(closed, { numRuns: 1, seed: 3 }) as [RequestClosed];
    const [one] = fc.sample(attempt, { numRuns: 1, seed: 3 }) as [AttemptRecord];
    const attempts = Array.from({ length: 5_000 }, (_, index) => ({ ...one, index }));
    const line = closedLine(encodeOpened({ ...first, model: "m".repeat(1e6) }), { ...second, id: first.id, attempts });
    expect(Buffer.byteLength(line)).toBeLessThan(LINE_BYTES);
    expect(decodeLines(bytes(line)).settled[0]?.closed.attempts.at(-1)?.index).toBe(4_999);
  });
});
