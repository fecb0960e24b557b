import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve, sep } from "node:path";
import { type OutputChunk, rolldown } from "rolldown";
import { SMALL_INPUT, SMALL_OUTPUT } from "./small-bundle.ts";

/** Programs that start by themselves, and the names by which the others find them beside themselves. */
const ENTRIES = {
  main: "src/cli/main.ts",
  worker: "src/storage/sqlite/worker.ts",
  server: "src/engines/embedded/server.ts",
} as const;

/**
 * Writes the whole program with the packages that it uses into `dist/cli` below `outFolder`: some forty files instead of a
 * thousand. A gateway at rest is 8 MB smaller with it, since what nobody calls is left out (zod's translations alone are 6 MB), it
 * starts faster, and whoever installs Postern installs no other package.
 *
 * @param root Of the checkout whose `src` is bundled.
 * @returns paths of the modules that are in it.
 */
export async function bundleProgram(root: string, outFolder: string): Promise<string[]> {
  const folder = resolve(outFolder, "dist/cli");
  await rm(folder, { recursive: true, force: true });
  const input = Object.fromEntries(Object.entries(ENTRIES).map(([name, path]) => [name, resolve(root, path)]));
  const build = await rolldown({ ...SMALL_INPUT, input });
  try {
    const { output } = await build.write({
      ...SMALL_OUTPUT,
      dir: folder,
      entryFileNames: "[name].js",
      chunkFileNames: "[name]-[hash].js",
    });
    const chunks = output.filter((one): one is OutputChunk => one.type === "chunk");
    return chunks.flatMap((chunk) => chunk.moduleIds);
  } finally {
    await build.close();
  }
}

/**
 * Writes the licences of all packages that modules come from into one file.
 *
 * @throws when a package names no licence: what is shipped must say under which terms.
 */
export async function writeNotices(modules: readonly string[], outFile: string): Promise<void> {
  const folders = new Set(modules.map(packageFolder).filter((folder) => folder !== null));
  const notices = await Promise.all([...folders].toSorted().map(notice));
  await writeFile(outFile, `Postern contains the following packages.\n\n${notices.join("\n")}`);
}

/** The folder of the package that a module is in; null for our own. */
function packageFolder(module: string): string | null {
  const mark = `${sep}node_modules${sep}`;
  const at = module.lastIndexOf(mark);
  if (at === -1) return null;
  const [first = "", second = ""] = module.slice(at + mark.length).split(sep);
  return join(module.slice(0, at), "node_modules", first, first.startsWith("@") ? second : "");
}

async function notice(folder: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as Record<string, unknown>;
  const { name, version, license, author } = manifest;
  if (typeof license !== "string")
    throw new Error(`${name} ${version} does not say under which terms it may be shipped`);
  const file = (await readdir(folder)).find((one) => /^(licen[cs]e|copying)(\.|$)/i.test(one));
  const text =
    file === undefined
      ? `It has no licence file; its manifest says ${license}. Author: ${JSON.stringify(author ?? "not named")}`
      : (await readFile(join(folder, file), "utf8")).trim();
  return `## ${name} ${version} (${license})\n\n${text}\n`;
}
