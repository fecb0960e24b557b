import { expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { engineReport, modelReport } from "../tunnel/__fixtures__/node-report.ts";
import type { EngineReport } from "../tunnel/link.ts";
import type { EngineRunState } from "./engine-supervisor.ts";
import { whyNoModels } from "./models-reason.ts";

const failed: EngineRunState = {
  name: "failed",
  error: new PosternError("engine_install", {
    message: "There is no npm here",
    hint: "Install npm, then start again.",
  }),
};

test.each<[string, EngineReport[], EngineRunState, boolean, RegExp | null]>([
  ["a model", [engineReport(["m"])], { name: "off" }, true, null],
  ["the embedded engine on its way", [], { name: "starting" }, true, null],
  ["the embedded engine between two starts", [], { name: "waiting" }, true, null],
  ["an install that failed", [], failed, true, /There is no npm here\. Install npm, then start again\.$/],
  ["nothing, and none allowed", [], { name: "off" }, false, /the embedded engine is turned off\. Start one/],
  [
    "an engine that is away",
    [engineReport([], { ready: false, reason: "it does not answer" })],
    { name: "off" },
    true,
    /"ollama" is not ready: it does not answer\.$/,
  ],
  [
    "an engine without models",
    [engineReport([])],
    { name: "off" },
    true,
    /"ollama" has no model of its own.*ollama pull/,
  ],
  [
    "only somebody else's cloud",
    [engineReport([], { models: [modelReport("m", { remote: true })] })],
    { name: "off" },
    true,
    /has no model of its own/,
  ],
])("whyNoModels() with %s", (_name, engines, embedded, isAllowed, words) => {
  const reason = whyNoModels(engines, embedded, isAllowed);
  if (words === null) expect(reason).toBeNull();
  else expect(reason).toMatch(words);
});
