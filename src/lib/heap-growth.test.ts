import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

const MODULE = new URL("./heap-growth.ts", import.meta.url).href;

/** How large V8 lets the heap of a process become until the next collection, as a multiple of what is left by this one. */
function factorWith(percent: number): number {
  const program = `import { growHeapBy } from ${JSON.stringify(MODULE)}; growHeapBy(${percent}); gc(); gc();`;
  const flags = ["--expose-gc", "--trace-gc-verbose", "--input-type=module", "--eval", program];
  const trace = execFileSync(process.execPath, flags, { encoding: "utf8" });
  return Number(
    trace
      .match(/\[HeapController\] factor ([\d.]+)/g)
      ?.at(-1)
      ?.split(" ")
      .at(-1),
  );
}

test("growHeapBy() says how much the heap may grow until it is gone over, in a process that runs", () => {
  // V8 itself says anything from 1.1 to 4.
  expect(factorWith(50)).toBe(1.5);
  expect(factorWith(100)).toBe(2);
  expect(factorWith(300)).toBe(4);
});
