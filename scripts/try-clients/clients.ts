import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { SCRIPTED_ANSWER } from "../../test/clients/scripted-engine.ts";
import { expectText, runIsolated, type TriedClient, type TryDoor, type TryPlace } from "./client.ts";

/** What stands in `note.txt`, which the scripted model reads through each agent's own tool. */
export const NOTE = "the password is swordfish";

const QUESTION = "What does note.txt say?";
const PYTHON = resolve(import.meta.dirname, "python");

/** The clients that npm and PyPI have, at versions that are known to us. */
export const TRIED_CLIENTS: readonly TriedClient[] = [
  {
    name: "Claude Code",
    from: { npm: "@anthropic-ai/claude-code@2.1.329" },
    guide: "claude-code.md",
    does: "`claude -p` finished a turn with a tool call (`Read`)",
    async run({ origin, key, model }, place) {
      const said = await runIsolated(
        // The package's own `bin` is put in place by an install script, which does not run here.
        join(place.installed, `node_modules/@anthropic-ai/claude-code-${process.platform}-${process.arch}/claude`),
        ["-p", QUESTION, "--model", model, "--output-format", "json"],
        place,
        {
          ANTHROPIC_BASE_URL: origin,
          ANTHROPIC_AUTH_TOKEN: key,
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
          DISABLE_AUTOUPDATER: "1",
        },
      );
      const result = JSON.parse(said.slice(said.indexOf("{"))) as {
        is_error: boolean;
        result: string;
        num_turns: number;
      };
      if (result.is_error || result.num_turns !== 2) throw new Error(said);
      expectToolAnswer(result.result);
    },
  },
  {
    name: "Codex",
    from: { npm: "@openai/codex@0.169.0" },
    guide: "codex.md",
    does: "`codex exec` finished a turn with a tool call (`exec_command`)",
    async run({ origin, key, model }, place) {
      await mkdir(join(place.home, ".codex"));
      await writeFile(
        join(place.home, ".codex", "config.toml"),
        `model = "${model}"\nmodel_provider = "postern"\n\n[model_providers.postern]\nname = "Postern"\n` +
          `base_url = "${origin}/v1"\nenv_key = "POSTERN_KEY"\nwire_api = "responses"\n`,
      );
      const said = await runIsolated(
        process.execPath,
        [
          join(place.installed, "node_modules/@openai/codex/bin/codex.js"),
          "exec",
          "--skip-git-repo-check",
          // Its sandbox wants more of the kernel than a container gives.
          "--dangerously-bypass-approvals-and-sandbox",
          "--json",
          QUESTION,
        ],
        place,
        { POSTERN_KEY: key },
      );
      expectText(said, '"type":"turn.completed"');
      expectToolAnswer(said);
    },
  },
  {
    name: "Continue",
    from: { npm: "@continuedev/cli@1.5.47" },
    guide: "continue.md",
    does: "`cn -p` finished a turn with a tool call (`Read`)",
    async run({ origin, key, model }, place) {
      const config = join(place.home, "config.yaml");
      await writeFile(
        config,
        `name: postern\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: Postern\n    provider: openai\n    model: ${model}\n` +
          `    apiBase: ${origin}/v1\n    apiKey: ${key}\n    roles: [chat]\n    capabilities: [tool_use]\n`,
      );
      const said = await runIsolated(
        process.execPath,
        [join(place.installed, "node_modules/@continuedev/cli/dist/cn.js"), "--config", config, "-p", QUESTION],
        place,
        { CONTINUE_TELEMETRY_ENABLED: "0", CONTINUE_ALLOW_ANONYMOUS_TELEMETRY: "0" },
      );
      expectToolAnswer(said);
    },
  },
  python(
    "openai (Python)",
    ["openai==3.52.0"],
    "openai.md",
    "openai_turn.py",
    "chat and Responses, streamed, with a tool; embeddings; errors",
  ),
  python(
    "anthropic (Python)",
    ["anthropic==2.11.0"],
    "anthropic.md",
    "anthropic_turn.py",
    "messages, streamed, with a tool; errors",
  ),
  python(
    "ollama (Python)",
    ["ollama==0.6.3"],
    "ollama.md",
    "ollama_turn.py",
    "chat, streamed, with a tool; embeddings; errors",
  ),
  python(
    "LightRAG",
    ["lightrag-hku==1.5.7", "ollama==0.6.3"],
    "lightrag.md",
    "lightrag_turn.py",
    "its Ollama binding: completion, streamed completion, embeddings",
  ),
  {
    name: "Aider",
    from: { pip: ["aider-chat==0.86.2"] },
    guide: "aider.md",
    does: "`aider --message` got a streamed answer",
    async run(door, place) {
      const said = await runIsolated(
        join(place.installed, "bin/aider"),
        [
          "--model",
          `openai/${door.model}`,
          "--message",
          QUESTION,
          "--no-git",
          "--yes-always",
          "--no-show-model-warnings",
          "--no-check-update",
          "--analytics-disable",
        ],
        place,
        { OPENAI_API_BASE: `${door.origin}/v1`, OPENAI_API_KEY: door.key },
      );
      expectText(said, "Hello from the scripted model");
    },
  },
];

function expectToolAnswer(said: string): void {
  expectText(said, SCRIPTED_ANSWER);
  expectText(said, NOTE);
}

/** A library of Python's with a program that uses it. */
function python(name: string, packages: readonly string[], guide: string, program: string, does: string): TriedClient {
  return {
    name,
    from: { pip: packages },
    guide,
    does,
    async run({ origin, key, model, embedModel }: TryDoor, place: TryPlace) {
      const said = await runIsolated(join(place.installed, "bin/python"), [join(PYTHON, program)], place, {
        POSTERN_ORIGIN: origin,
        POSTERN_KEY: key,
        POSTERN_MODEL: model,
        POSTERN_EMBED_MODEL: embedModel,
      });
      expectText(said, "all well");
    },
  };
}
