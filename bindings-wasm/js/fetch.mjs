// A link to a web server by `fetch`, for `connectHttp`: the body is read no further than the engine allows. Knows no
// other effect; whoever drives the engine gives it those that name its link.

/** One such link. `changed` is called after each call of the engine: its effects are due then. */
export class FetchLink {
  #engine;
  #conn;
  #clock;
  #changed;
  #abort = new AbortController();
  #readUntil = 0;
  #received = 0;
  #allowed = null;

  constructor(engine, effect, { clock = () => performance.now(), changed = () => {} } = {}) {
    this.#engine = engine;
    this.#conn = effect.conn;
    this.#clock = clock;
    this.#changed = changed;
    this.#run(effect);
  }

  /** The engine's `interest`: read so far, and no further. */
  interest(readUntil) {
    this.#readUntil = Math.max(this.#readUntil, readUntil);
    this.#allowed?.();
  }

  /** The engine's `close`: the link is given up, and `drained` is told. */
  close() {
    this.#abort.abort();
    this.#allowed?.();
    this.#tell(() => this.#engine.drained(this.#clock(), this.#conn));
  }

  #tell(call) {
    call();
    this.#changed();
  }

  async #run({ url, range }) {
    let why = "finished";
    try {
      await this.#get(url, range);
    } catch {
      why = "reset";
    }
    if (!this.#abort.signal.aborted) {
      this.#tell(() => this.#engine.closed(this.#clock(), this.#conn, why));
    }
  }

  async #get(url, range) {
    // a host that counts redirects itself keeps to a bound of its own: `fetch` follows twenty
    const headers = range ? { Range: `bytes=${range[0]}-${range[1]}` } : {};
    const response = await fetch(url, { headers, signal: this.#abort.signal, cache: "no-store" });
    const head = {
      status: response.status,
      length: count(response.headers.get("content-length")),
      range: contentRange(response.headers.get("content-range")),
      retryAfter: count(response.headers.get("retry-after")),
    };
    if (response.headers.has("content-encoding")) throw new Error("ranges count bytes as they are");
    if (this.#abort.signal.aborted) return;
    this.#tell(() => this.#engine.answered(this.#clock(), this.#conn, head));
    const reader = response.body?.getReader();
    while (reader && !this.#abort.signal.aborted) {
      if (this.#received >= this.#readUntil) {
        await new Promise((resolve) => (this.#allowed = resolve));
        continue;
      }
      const { done, value } = await reader.read();
      if (done || this.#abort.signal.aborted) return;
      this.#received += value.length;
      this.#tell(() => this.#engine.handleReceived(this.#clock(), this.#conn, value));
    }
  }
}

const count = (text) => (text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null);

function contentRange(text) {
  const [, first, last, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(text ?? "") ?? [];
  if (first === undefined) return null;
  return { first: Number(first), last: Number(last), total: total === "*" ? null : Number(total) };
}
