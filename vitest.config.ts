import { defineConfig } from "vitest/config";

const report = process.env["POSTERN_TEST_REPORT"];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: [
            "src/**/*.test.ts",
            "scripts/**/*.test.ts",
            "test/in-step/**/*.test.ts",
            "test/support/**/*.test.ts",
          ],
          testTimeout: 20_000,
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
