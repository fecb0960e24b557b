import { Secret } from "../../../lib/secret.ts";
import { startEmbedded } from "../start.ts";

// Starts an engine and then does nothing, so that a test can kill it and see what becomes of the engine.
// Arguments: data folder, engine folder.
const [dataFolder = "", engineFolder = ""] = process.argv.slice(2);
const engine = await startEmbedded({ dataFolder, engineFolder, modelPath: null, apiKey: new Secret("k") });
process.stdout.write(`${engine.url.port}\n`);
