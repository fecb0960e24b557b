import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  SCRIPTED_CLOTHES,
  SCRIPTED_EMBED_MODEL,
  SCRIPTED_MODEL,
  type ScriptedClothes,
  startScriptedEngine,
} from "../test/clients/scripted-engine.ts";
import { startWholePath, type WholePath } from "../test/support/whole-path.ts";
import { ROOT, writePart } from "./docs.ts";
import type { TriedClient } from "./try-clients/client.ts";
import { NOTE, TRIED_CLIENTS } from "./try-clients/clients.ts";
import { install } from "./try-clients/install.ts";

/**
 * `npm run try:clients [NAME…] [-- --write]`: installs the clients that npm and PyPI have into a cache of its own, and runs each
 * in an empty HOME against a gateway with a scripted model behind the tunnel, with every way out of loopback closed. With
 * `--write` the guides say what came out.
 */

const CACHE = join(ROOT, "node_modules/.cache/postern-clients");

interface Outcome {
  client: TriedClient;
  engine: string;
  /** Null: it did what it should. */
  trouble: string | null;
  /** Where the engine was asked. */
  paths: string[];
}

async function main(args: readonly string[]): Promise<number> {
  const names = args.filter((arg) => !arg.startsWith("--")).map((name) => name.toLowerCase());
  const wanted = TRIED_CLIENTS.filter(
    ({ name }) => names.length === 0 || names.some((part) => name.toLowerCase().includes(part)),
  );
  const installed = new Map<TriedClient, string>();
  const outcomes: Outcome[] = [];
  for (const client of wanted) {
    try {
      console.error(`installing ${packagesOf(client)}`);
      installed.set(client, await install(client, CACHE));
    } catch (error) {
      outcomes.push({ client, engine: "–", trouble: `could not be installed: ${inWords(error)}`, paths: [] });
    }
  }
  for (const clothes of SCRIPTED_CLOTHES) outcomes.push(...(await tryAll(clothes, installed)));

  console.log("| Client | Package | Engine | Asked at | Result |\n|---|---|---|---|---|");
  for (const { client, engine, trouble, paths } of outcomes) {
    const asked = paths.map((path) => `\`${path}\``).join(", ");
    console.log(`| ${client.name} | \`${packagesOf(client)}\` | ${engine} | ${asked} | ${trouble ?? client.does} |`);
  }
  if (args.includes("--write")) await writeGuides(wanted, outcomes);
  return outcomes.every(({ trouble }) => trouble === null) ? 0 : 1;
}

async function tryAll(clothes: ScriptedClothes, installed: ReadonlyMap<TriedClient, string>): Promise<Outcome[]> {
  const folder = await mkdtemp(join(tmpdir(), "postern-try-"));
  const work = join(folder, "work");
  await mkdir(work);
  const note = join(work, "note.txt");
  await writeFile(note, `${NOTE}\n`);
  const engine = await startScriptedEngine(clothes, note);
  let path: WholePath | null = null;
  const outcomes: Outcome[] = [];
  try {
    path = await startWholePath({
      agent: {
        engines: [
          {
            name: "scripted",
            url: engine.url,
            kind: clothes.kind,
            apiKey: null,
            host: null,
            caFile: null,
            serverName: null,
            exposureAccepted: false,
          },
        ],
      },
    });
    if (path === null) throw new Error("the gateway did not start");
    await path.untilServed(SCRIPTED_MODEL, SCRIPTED_EMBED_MODEL);
    const door = { origin: path.origin, key: path.key, model: SCRIPTED_MODEL, embedModel: SCRIPTED_EMBED_MODEL };
    for (const [client, folderOfClient] of installed) {
      console.error(`running ${client.name} with ${clothes.title}`);
      const home = await mkdtemp(join(folder, "home-"));
      const before = engine.paths().length;
      let trouble: string | null = null;
      try {
        await client.run(door, { home, work, installed: folderOfClient });
      } catch (error) {
        trouble = inWords(error);
      }
      const paths = [...new Set(engine.paths().slice(before))].filter((one) => !isProbe(one));
      outcomes.push({ client, engine: clothes.title, trouble, paths });
    }
  } finally {
    await path?.close();
    await engine.stop();
    await rm(folder, { recursive: true, force: true });
  }
  return outcomes;
}

/** What the agent asks for by itself. */
function isProbe(path: string): boolean {
  return /models$|version$|\/tags$|\/ps$|health|metrics|props|slots|^\/$/.test(path);
}

/** Puts what came out between the marks of each guide. */
async function writeGuides(tried: readonly TriedClient[], outcomes: readonly Outcome[]): Promise<void> {
  for (const guide of new Set(tried.map((client) => client.guide))) {
    const file = join(ROOT, "docs/guide/clients", guide);
    const lines = tried
      .filter((client) => client.guide === guide)
      .map((client) => {
        const all = outcomes.filter((outcome) => outcome.client === client);
        const well = all.filter(({ trouble }) => trouble === null).map(({ engine }) => engine);
        const badly = all.filter(({ trouble }) => trouble !== null).map(({ engine }) => engine);
        const words = well.length === 0 ? "" : `: ${client.does}, with ${well.join("; ")}.`;
        return `- \`${packagesOf(client)}\`${words}${badly.length === 0 ? "" : ` Failed with ${badly.join("; ")}.`}`;
      });
    const text = `Run here by \`npm run try:clients\`, through gateway, tunnel and agent:\n\n${lines.join("\n")}`;
    await writeFile(file, writePart(await readFile(file, "utf8"), "tried", text));
  }
}

function packagesOf({ from }: TriedClient): string {
  return "npm" in from ? from.npm : from.pip.join(" ");
}

function inWords(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").slice(-900);
}

process.exitCode = await main(process.argv.slice(2));
