// A run as it goes on: told by the kernel that runs it, else by the server from its record.
import type { Client, RunListener } from "./client";
import { Elsewhere, type Remote } from "./remote";

/** Who tells of a run until it ends. */
export type Tail = Pick<Client, "followRun">;

export class LiveTail implements Tail {
  constructor(
    private readonly client: Client,
    private readonly remote: Remote,
  ) {}

  async followRun(path: string, run: string, listener: RunListener, signal: AbortSignal): Promise<void> {
    try {
      await this.remote.follow(run, listener, signal);
    } catch (error) {
      if (!(error instanceof Elsewhere)) throw error;
      if (!signal.aborted) await this.client.followRun(path, run, listener, signal);
    }
  }
}
