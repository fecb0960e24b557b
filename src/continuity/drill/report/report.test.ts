import { describe, expect, it } from "vitest";
import { drillRecord } from "../__fixtures__/drill-record.ts";
import { judgeProofs } from "../proofs.ts";
import type { DrillRecord } from "../record.ts";
import { renderHtml } from "./html.ts";
import { renderMarkdown } from "./markdown.ts";

function judged(fields: Partial<DrillRecord> = {}): DrillRecord {
  const record = drillRecord(fields);
  return { ...record, proofs: judgeProofs(record) };
}

describe.each([
  ["renderMarkdown()", renderMarkdown],
  ["renderHtml()", renderHtml],
])("%s", (_name, render) => {
  it("says in its first lines how it ended and what it means", () => {
    const text = render(judged());
    const start = text.slice(text.indexOf("The drill passed"), text.indexOf("The drill passed") + 600);
    expect(start).toContain("For 1 min we made every provider fail");
    expect(start).toContain("All 20 requests of that time got their answer, from node/forge.");
    expect(start).toContain("Normal service was back 31 s after the end of the block.");
  });

  it("names every proof with its verdict", () => {
    const record = judged({ leaks: 2, result: "failed" });
    for (const { title } of record.proofs) expect(render(record)).toContain(title);
    expect(render(record)).toContain("2 were answered by what should have been blocked.");
  });
});

describe("renderHtml()", () => {
  it("fetches nothing and runs nothing, whatever stands in prompts, answers and notes", () => {
    const evil = `</blockquote><script>alert(1)</script><img src="//x" onerror='x'>`;
    const [sample] = drillRecord().samples;
    const html = renderHtml(
      judged({
        plan: evil,
        hypothesis: evil,
        samples:
          sample === undefined ? [] : [{ ...sample, prompt: evil, answer: evil, workflow: evil, servedBy: evil }],
        notes: [{ atMs: 1, by: evil, text: evil }],
        actions: [{ atMs: 1, by: evil, text: evil, owner: evil, dueOn: evil }],
        timeline: [{ atMs: 1, text: evil }],
        workflows: [{ workflow: evil, figures: drillRecord().figures }],
      }),
    );
    expect(html).not.toMatch(/<script|<img|<link|https?:\/\//);
    expect(html).toContain("&lt;script&gt;");
  });
});

describe("renderMarkdown()", () => {
  it("keeps what models and people write inside quotes and cells", () => {
    const [sample] = drillRecord().samples;
    const text = renderMarkdown(
      judged({ owner: "a | b\n# x", samples: sample === undefined ? [] : [{ ...sample, answer: "one\n# two" }] }),
    );
    expect(text).toContain("> # two");
    expect(text).toContain("a \\| b # x");
    expect(text).not.toMatch(/^# (x|two)/m);
  });
});
