import { readFileSync } from "node:fs";

/** Prints the closing line of a run of the tests, `N passed, N failed`, from Vitest's JSON report. Fails when no test ran. */
const path = process.argv[2];
if (path === undefined) throw new Error("usage: test-summary.ts REPORT");
const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(path, "utf8")) as Record<
  string,
  number
>;
const skipped = (numPendingTests ?? 0) > 0 ? `, ${numPendingTests} skipped` : "";
console.log(`${numPassedTests} passed, ${numFailedTests} failed${skipped}`);
process.exitCode = (numPassedTests ?? 0) > 0 ? 0 : 1;
