import { expect, test } from "vitest";
import { readPage } from "../../scripts/docs.ts";
import { Keyring } from "../access/keyring.ts";
import { Places } from "../access/places.ts";
import { defaultConfig } from "../config/defaults.ts";
import { listConfigSettings } from "../config/reference.ts";
import { Prices } from "../usage/price.ts";
import { createEdge } from "./edge.ts";
import { reloadableSections } from "./reloadable.ts";

test("every setting that a running gateway takes over is one of the file, and the reference says so", () => {
  const config = defaultConfig("/data");
  const sections = reloadableSections({
    config,
    places: { places: new Places(null, new Keyring()), reload: async () => 0, watch() {}, stop() {} },
    listeners: { setEndpoints() {} },
    catalogue: { setAliases() {}, views: () => [] },
    prices: new Prices([]),
    edge: createEdge(config.gateway),
    alerts: { reload: async () => {} },
    drills: { replan: async () => {} },
  });
  const known = listConfigSettings().map(({ path }) => path);
  const page = readPage("docs/reference/config.md");
  for (const path of sections.flatMap(({ paths }) => paths)) {
    expect(known, path).toContain(path);
    expect(page, path).toContain(`\`${path}\``);
  }
});
