import { existsSync, globSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { expect, test } from "vitest";
import { ROOT, readPage } from "../../scripts/docs.ts";

const PAGES = globSync(["*.md", "docs/**/*.md", "bench/*.md", "client/*.md", "src/tunnel/*.md"], { cwd: ROOT });

test.each(PAGES)("%s links to files that exist", (path) => {
  for (const [, target = ""] of readPage(path).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target) || target.startsWith("#")) continue;
    const [file = ""] = target.split("#");
    expect(existsSync(resolve(ROOT, dirname(path), file)), target).toBe(true);
  }
});
