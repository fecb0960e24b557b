import type { Paint } from "./output.ts";
import { harmless } from "./table.ts";

/** What `postern up --json` prints (DESIGN §5). */
export interface Serving {
  baseUrl: string;
  adminUrl: string;
  /** Only on the run that made the first key. */
  apiKey: string | null;
  models: string[];
  /** Why the first model has not answered; null when it has. */
  modelsReason: string | null;
  node: string;
}

/** Model that proves the path, not intelligence. */
const DEMO_MODEL = "postern-demo";

/**
 * The same for people, with a line to paste and the next steps.
 *
 * @param setupLink Only on the run that shows it.
 */
export function renderServing(serving: Serving, paint: Paint, setupLink: string | null = null): string {
  const { apiKey, models } = serving;
  const facts = [
    ["Base URL", paint("cyan", serving.baseUrl)],
    [
      "Key",
      apiKey === null
        ? paint("dim", "you have one (postern keys list; make another: postern keys create NAME)")
        : paint("green", apiKey),
    ],
    ["Models", models.length === 0 ? paint("yellow", "none") : harmless(shorten(models))],
    ["Health", paint("dim", `${serving.adminUrl}/readyz, metrics at ${serving.adminUrl}/metrics`)],
  ].map(([name = "", value = ""]) => `  ${paint("bold", name.padEnd(9))}${value}`);
  const parts = [
    paint("bold", serving.modelsReason === null ? "Postern serves." : "Postern runs, but no model answers yet."),
    facts.join("\n"),
  ];
  if (apiKey !== null) parts.push(paint("dim", "  The key is shown this once; only its hash is kept."));
  if (setupLink !== null) {
    parts.push(
      `${paint("bold", "Your first login")} (optional, once, within the hour):\n  ${paint("cyan", setupLink)}`,
    );
  }
  if (serving.modelsReason !== null) parts.push(`${paint("yellow", "Why:")} ${harmless(serving.modelsReason)}`);
  const [model] = models;
  if (model !== undefined) {
    parts.push(`Try it:\n\n${curlLine(serving.baseUrl, apiKey, model)}`);
    if (model === DEMO_MODEL) {
      parts.push(
        paint(
          "dim",
          "This is the demo model: real llama.cpp that says one fixed sentence. It proves the path, not intelligence.\nA real one: start Ollama or another engine, or postern up --model FILE.gguf",
        ),
      );
    }
  }
  parts.push(
    paint(
      "dim",
      "Next: postern keys create NAME (a key per app), postern nodes invite NAME (another machine), postern status. Ctrl-C stops.",
    ),
  );
  return parts.join("\n\n");
}

/** A line for POSIX shells. The key is written out only on the run that made it. */
export function curlLine(baseUrl: string, apiKey: string | null, model: string): string {
  const body = JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "Hello" }] });
  return [
    `curl -N ${baseUrl}/chat/completions`,
    `-H "Authorization: Bearer ${apiKey ?? "$POSTERN_KEY"}"`,
    '-H "Content-Type: application/json"',
    `-d '${body.replaceAll("'", "'\\''")}'`,
  ].join(" \\\n  ");
}

function shorten(models: readonly string[]): string {
  const shown = models.slice(0, 8).join(", ");
  return models.length > 8 ? `${shown} and ${models.length - 8} more` : shown;
}
