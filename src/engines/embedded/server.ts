import { once } from "node:events";
import { Secret } from "../../lib/secret.ts";
import { CHILD_CONFIG, type ChildConfig, type ChildMessage, REQUIRED_ENVIRONMENT } from "./child-protocol.ts";
import { EngineServer } from "./engine-server.ts";
import { loadLlama } from "./library.ts";
import { ServedModel } from "./served-model.ts";

// The engine's process. It is forked by `startEmbedded`, or run by hand with its configuration as one JSON line on stdin:
//   UV_THREADPOOL_SIZE=1 node src/engines/embedded/server.ts < config.json
// It ends when its parent does (the IPC channel closes), so that no engine is ever left behind.

/** Longest configuration on stdin. */
const MAX_CONFIG_CHARACTERS = 65_536;
/** How long the native library may take to let go before the process is killed. */
const EXIT_GRACE_MS = 1_000;
/** Smallest step of loading progress that is reported. */
const LOAD_STEP = 0.05;

async function main(): Promise<void> {
  for (const [name, value] of Object.entries(REQUIRED_ENVIRONMENT)) {
    if (process.env[name] !== value) throw new Error(`The engine must be started with ${name}=${value}`);
  }
  const config = CHILD_CONFIG.parse(await readConfig());
  const server = new EngineServer(new Secret(config.apiKey));
  process.once("disconnect", () => leave(server));
  process.once("SIGTERM", () => leave(server));
  // Ctrl-C reaches the whole process group; the parent drains first and then ends us.
  process.on("SIGINT", () => {
    if (!process.connected) leave(server);
  });
  tell({ type: "listening", port: await server.start() });
  const reasons: string[] = [];
  try {
    server.serve(await loadModel(config, reasons));
    tell({ type: "ready" });
  } catch (error) {
    // What llama.cpp logged last says more than the exception, which is often just "Failed to load model".
    reasons.push(error instanceof Error ? error.message : String(error));
    tell({ type: "failed", reason: reasons.slice(-3).join("; ") });
    leave(server);
  }
}

async function loadModel(config: ChildConfig, reasons: string[]): Promise<ServedModel> {
  const llama = await loadLlama(config.engineFolder, (message) => {
    reasons.push(message.trim());
    if (reasons.length > 16) reasons.shift();
  });
  let reported = 0;
  return await ServedModel.load(llama, config, (share) => {
    if (share - reported < LOAD_STEP) return;
    reported = share;
    tell({ type: "loading", share });
  });
}

function tell(message: ChildMessage): void {
  if (process.send === undefined) process.stdout.write(`${JSON.stringify(message)}\n`);
  else if (process.connected) process.send?.(message);
}

async function readConfig(): Promise<unknown> {
  if (process.send !== undefined) return (await once(process, "message"))[0];
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    text += chunk;
    if (text.length > MAX_CONFIG_CHARACTERS) throw new Error("The configuration on stdin is too long");
  }
  return JSON.parse(text);
}

function leave(server: EngineServer): void {
  server.stop();
  if (process.connected) process.disconnect?.();
  // With no server and no channel the process ends by itself, unless native code hangs; then this timer, which does not keep
  // it alive, ends it.
  setTimeout(() => process.kill(process.pid, "SIGKILL"), EXIT_GRACE_MS).unref();
}

await main();
