import { type Ask, type Input, SLOW_TIMEOUT_MS, searchOf } from "./ask.ts";
import {
  type Acknowledged,
  type AlertHistoryPage,
  type AlertHistoryQuery,
  type AlertList,
  type AlertRuleView,
  type AlertTest,
  acknowledged,
  alertHistory,
  alertList,
  alertRules,
  alertTest,
  type SilenceInput,
  type SilenceView,
  silenceView,
} from "./contract-alerts.ts";

/** The part of the admin contract about alerts, from the asking side. As `AdminClient`. */
export class AlertClient {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  list(): Promise<AlertList> {
    return this.#ask("GET", "/alerts", alertList);
  }

  async rules(): Promise<AlertRuleView[]> {
    return (await this.#ask("GET", "/alerts/rules", alertRules)).rules;
  }

  history(query: Partial<AlertHistoryQuery>): Promise<AlertHistoryPage> {
    return this.#ask("GET", `/alerts/history${searchOf(query)}`, alertHistory);
  }

  test(channel: string | null): Promise<AlertTest> {
    return this.#ask("POST", "/alerts/test", alertTest, { channel }, SLOW_TIMEOUT_MS);
  }

  silence(input: Omit<SilenceInput, "key"> & Input<SilenceInput>): Promise<SilenceView> {
    return this.#ask("POST", "/alerts/silences", silenceView, input);
  }

  unsilence(id: string): Promise<SilenceView> {
    return this.#ask("DELETE", `/alerts/silences/${encodeURIComponent(id)}`, silenceView);
  }

  acknowledge(id: string, note: string | null): Promise<Acknowledged> {
    return this.#ask("POST", `/alerts/${encodeURIComponent(id)}/ack`, acknowledged, { note });
  }
}
