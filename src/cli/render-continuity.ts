import type { ContinuityReview } from "../admin/contract-continuity.ts";
import type { Paint } from "./output.ts";
import { harmless } from "./table.ts";

type Review = ContinuityReview["models"][number];
type Loss = Review["losses"][number];

/** Single points of failure, model by model, for a person. */
export function renderContinuity({ models }: ContinuityReview, paint: Paint): string {
  if (models.length === 0) return "No models, so nothing that could be lost.";
  return models.map((review) => renderModel(review, paint)).join("\n\n");
}

function renderModel(review: Review, paint: Paint): string {
  const { model, targets, keys, losses, singlePoints } = review;
  const shown = targets.map(({ label, isReady }) => `${harmless(label)}${isReady ? "" : " (away)"}`).join(", ");
  const head = `${paint("bold", harmless(model))}: ${shown || "no target"}; ${plural(keys, "key")} can use it now`;
  if (losses.length === 0) return `${head}\n  ${paint("red", "nothing serves it now")}`;
  const width = Math.max(...losses.map(({ what }) => what.length));
  const lines = losses.map((loss) => {
    const isSingle = singlePoints.includes(loss.what);
    const text = `  ${`without ${harmless(loss.what)}`.padEnd(width + 8)}  ${outcomeOf(loss)}`;
    return isSingle ? paint(loss.what === "the gateway" ? "yellow" : "red", text) : text;
  });
  return [head, ...lines].join("\n");
}

function outcomeOf({ what, left, served, waiting, refused }: Loss): string {
  if (what === "the gateway") return "nobody is served: run a second one, or give apps the failover client";
  if (left.length === 0) return "nobody is served";
  const parts = [
    ...(served > 0 ? [`${plural(served, "key")} served`] : []),
    ...(waiting > 0 ? [`${plural(waiting, "key")} must wait for an approval`] : []),
    ...(refused > 0 ? [`${plural(refused, "key")} refused by policy`] : []),
  ];
  return `${left.map(harmless).join(", ")}: ${parts.join(", ") || "no key uses it"}`;
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}
