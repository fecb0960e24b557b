import { expect, test } from "vitest";
import { DEFAULT_LIMITS, DEFAULT_TIMEOUTS } from "./defaults.ts";
import { configJsonSchema, listConfigSettings, renderConfigReference } from "./reference.ts";

test("configJsonSchema() lets editors refuse unknown keys and wrong units", () => {
  const text = JSON.stringify(configJsonSchema());
  expect(text).toContain('"additionalProperties":false');
  expect(text).toContain("^[0-9]+(ms|s|m|h|d)$");
});

test("listConfigSettings() has a description for each setting, and each limit and timeout with its default", () => {
  const settings = new Map(listConfigSettings().map((setting) => [setting.path, setting]));
  for (const setting of settings.values()) expect(setting.description, setting.path).not.toBe("");
  for (const name of Object.keys(DEFAULT_LIMITS)) {
    expect(settings.get(`gateway.limits.${name.replace(/Bytes$/, "")}`)?.default, name).toBeTruthy();
  }
  for (const name of Object.keys(DEFAULT_TIMEOUTS)) {
    expect(settings.get(`gateway.timeouts.${name.replace(/Ms$/, "")}`)?.default, name).toBeTruthy();
  }
  expect(settings.get("nodes.NAME.url")?.isRequired).toBe(true);
});

test("renderConfigReference() is a table with one row for each setting", () => {
  const rows = renderConfigReference().trim().split("\n");
  expect(rows).toHaveLength(listConfigSettings().length + 2);
  expect(rows.every((row) => row.startsWith("| ") || row.startsWith("|-"))).toBe(true);
});
