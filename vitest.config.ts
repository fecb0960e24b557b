import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const report = process.env["POSTERN_TEST_REPORT"];

export default defineConfig({
  test: {
    // By default one less than there are processors, which is one on a small machine; but tests wait more than they compute.
    maxWorkers: Math.max(3, availableParallelism() - 1),
    projects: [
      {
        test: {
          name: "unit",
          include: [
            "src/**/*.test.ts",
            "client/**/*.test.ts",
            "scripts/**/*.test.ts",
            "test/in-step/**/*.test.ts",
            "test/support/**/*.test.ts",
          ],
          // Ends what hangs, and judges no speed: a busy machine may take ten times as long as an idle one.
          testTimeout: 90_000,
          hookTimeout: 90_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
    // For the closing line of `.ci/run`.
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
  },
});
