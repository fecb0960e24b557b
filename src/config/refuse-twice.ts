import { PosternError } from "../errors.ts";

/**
 * Refuses to start where one name stands both in the file and in the store: nobody could tell which one is meant.
 *
 * @throws PosternError `config_invalid` with the line of the file.
 */
export function refuseTwice(
  what: string,
  inFile: ReadonlyArray<{ name: string; place: string }>,
  inStore: ReadonlyArray<{ name: string }>,
): void {
  const stored = new Set(inStore.map(({ name }) => name));
  const twice = inFile.find(({ name }) => stored.has(name));
  if (twice === undefined) return;
  throw new PosternError("config_invalid", {
    message: `Cannot load the configuration: ${twice.place}: the ${what} "${twice.name}" is in the store as well`,
    hint: "One name stands for one thing: give the one in the file another name.",
  });
}
