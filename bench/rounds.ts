import type { Cell } from "./cells.ts";
import { type ClientResult, measure } from "./client.ts";
import type { Peer, RunningPeer } from "./peer.ts";

/** More of the machine than this used by processes that are not ours spoils a measurement. */
export const MAX_FOREIGN_SHARE = 0.1;
/** Less idle time than this spoils a paced measurement. */
export const MIN_IDLE_SHARE = 0.03;
/** A load generator that needs more of its core than this measures itself. */
const MAX_CLIENT_SHARE = 0.9;
/** A paced stream that delivered less than this share of its chunks was held up. */
const MIN_CHUNK_SHARE = 0.97;
/** How often a spoilt measurement is repeated before it is kept with a mark. */
const MAX_REPEATS = 2;

/** What a peer showed in one cell, over all rounds. */
export interface Series {
  readonly peer: Peer;
  readonly cell: Cell;
  readonly running: RunningPeer;
  readonly results: ClientResult[];
  /** Why results are not to be trusted, one entry for each that was kept in spite of it. */
  readonly spoilt: string[];
  discarded: number;
  /** Why the peer could not be measured here. */
  failure: string | null;
}

export interface RoundsOptions {
  client: string;
  enginePid: number;
  peers: readonly { peer: Peer; running: RunningPeer }[];
  cells: readonly Cell[];
  /** Moment (`Date.now()`) after which spoilt measurements are not repeated any more. */
  repeatUntilMs: number;
  signal: AbortSignal;
  report(line: string): void;
}

/** Measures every cell at every peer, one peer after the other, round after round, so that drift of the machine meets all alike. */
export async function runRounds(options: RoundsOptions): Promise<Series[]> {
  const all: Series[] = [];
  for (const cell of options.cells) {
    const series = options.peers
      .filter(({ peer }) => !cell.without.includes(peer.name))
      .map(({ peer, running }): Series => {
        return { peer, cell, running, results: [], spoilt: [], discarded: 0, failure: null };
      });
    for (let round = 1; round <= cell.rounds; round++) {
      for (const one of series) {
        options.signal.throwIfAborted();
        if (one.failure === null) await measureOnce(one, options);
        options.report(`${cell.name} ${round}/${cell.rounds} ${one.peer.name}${one.failure ? `: ${one.failure}` : ""}`);
      }
    }
    all.push(...series);
  }
  return all;
}

async function measureOnce(series: Series, options: RoundsOptions): Promise<void> {
  const { cell, running } = series;
  for (let attempt = 0; ; attempt++) {
    let result: ClientResult;
    try {
      result = await measure(options.client, running, cell.args, [options.enginePid], cell.timeoutMs);
    } catch (error) {
      options.signal.throwIfAborted();
      series.failure = error instanceof Error ? error.message : String(error);
      return;
    }
    const count = result.mode === "load" ? result.requests : result.chunks;
    if (count === 0) {
      series.failure = result.firstError || "no answer";
      return;
    }
    const reason = spoiltBy(cell, result);
    if (reason === null || attempt === MAX_REPEATS || Date.now() > options.repeatUntilMs) {
      series.results.push(result);
      if (reason !== null) series.spoilt.push(reason);
      return;
    }
    series.discarded++;
  }
}

/** Why a measurement says more about the machine than about the peer, or null. */
export function spoiltBy(cell: Cell, result: ClientResult): string | null {
  const { idle, foreign, steal } = result.machine;
  if (foreign + steal > MAX_FOREIGN_SHARE) return `other processes used ${percent(foreign + steal)} of the machine`;
  if (!cell.isPaced) return null;
  if (idle < MIN_IDLE_SHARE) return `only ${percent(idle)} idle`;
  if (result.clientCpu / result.seconds > MAX_CLIENT_SHARE) return "the load generator was saturated";
  if (result.mode === "streams" && result.chunks < result.expectedChunks * MIN_CHUNK_SHARE) {
    return `${percent(result.chunks / result.expectedChunks)} of the chunks came in time`;
  }
  return null;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
