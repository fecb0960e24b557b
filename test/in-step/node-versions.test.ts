import { expect, test } from "vitest";
import { readPage } from "../../scripts/docs.ts";
import { NODE_FLOORS } from "../../src/lib/node-version.ts";

test.each(["README.md", "docs/guide/quickstart.md"])("%s says which Node is needed", (path) => {
  const page = readPage(path);
  for (const floor of NODE_FLOORS) expect(page).toContain(floor.join("."));
});
