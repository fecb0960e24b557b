import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./eventually.ts";

/** Prometheus Alertmanager as a process of its own (Debian: `prometheus-alertmanager`), on loopback, telling nobody. */
export interface Alertmanager {
  url: string;
  alerts(): Promise<
    Array<{ labels: Record<string, string>; annotations: Record<string, string>; status: { state: string } }>
  >;
  stop(): Promise<void>;
}

const PROGRAM = "prometheus-alertmanager";

/** Null, after saying so loudly, where it is not installed. */
export async function startAlertmanager(): Promise<Alertmanager | null> {
  if (spawnSync(PROGRAM, ["--version"]).error !== undefined) {
    const line = "*".repeat(80);
    process.stderr.write(
      `\n${line}\nSKIPPED: Alertmanager tests. It is not installed (Debian: apt-get install ${PROGRAM}).\n${line}\n\n`,
    );
    return null;
  }
  const folder = await mkdtemp(join(tmpdir(), "postern-alertmanager-"));
  const config = join(folder, "alertmanager.yml");
  await writeFile(config, "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n");
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(
    PROGRAM,
    [
      `--config.file=${config}`,
      `--storage.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--cluster.listen-address=",
    ],
    { stdio: "ignore" },
  );
  const ended = once(child, "exit");
  async function stop(): Promise<void> {
    child.kill();
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
  try {
    await eventually(async () => ((await fetch(`${url}/-/ready`)).ok ? true : undefined), PROGRAM);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    async alerts() {
      return (await (await fetch(`${url}/api/v2/alerts`)).json()) as Awaited<ReturnType<Alertmanager["alerts"]>>;
    },
    stop,
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return address !== null && typeof address === "object" ? address.port : 0;
}
