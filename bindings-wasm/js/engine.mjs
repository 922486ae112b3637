// The doors as values: makes typed effects and events of what crosses the wasm border flat. Owns no behaviour.

const codes = new Set([
  "metainfo",
  "magnet",
  "create",
  "driver",
  "value",
  "command",
  "refused",
  "torrentNotFound",
  "duplicateTorrent",
]);

/** A refusal: `code` says what kind. A peer's fault is never one; it costs that peer its link. */
export class MillstreamError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "MillstreamError";
    this.code = code;
  }
}

/** Calls into wasm, and gives its errors a code. */
function call(inside) {
  try {
    return inside();
  } catch (error) {
    const [, code, message] = /^(\w+): ([^]*)$/.exec(error?.message ?? "") ?? [];
    throw codes.has(code) ? new MillstreamError(code, message) : error;
  }
}

/** Bytes as wasm takes them: a view of other items would lose what doesn't fit in a byte. */
function bytes(data) {
  if (data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw new MillstreamError("value", "bytes are a Uint8Array or an ArrayBuffer");
}

const extents = (numbers, from) => {
  const out = [];
  for (let at = from; at + 2 < numbers.length; at += 3) {
    const [file, offset, length] = numbers.subarray(at, at + 3);
    out.push(file < 0 ? { pad: length } : { file, offset, length });
  }
  return out;
};

const works = {
  filesOpen: ([, torrent, ...rest], [folder, allocation, ...paths]) => ({
    torrent,
    folder,
    allocation,
    files: Array.from({ length: paths.length / 2 }, (_, n) => ({
      path: paths[2 * n],
      length: rest[2 * n],
      pad: (rest[2 * n + 1] & 1) !== 0,
      executable: (rest[2 * n + 1] & 2) !== 0,
      symlink: (rest[2 * n + 1] & 4) !== 0 ? paths[2 * n + 1] : null,
      wanted: (rest[2 * n + 1] & 8) !== 0,
    })),
  }),
  filesSync: ([, torrent]) => ({ torrent }),
  filesClose: ([, torrent]) => ({ torrent }),
  read: (numbers) => ({ torrent: numbers[1], parts: extents(numbers, 2) }),
  write: (numbers, _, data) => ({ torrent: numbers[1], extents: extents(numbers, 2), data: data() }),
  hash: ([, pad, sha1, leaves], _, data) => ({ data: data(), pad, sha1: sha1 !== 0, leaves: leaves !== 0 }),
  hashStored: (numbers) => ({
    torrent: numbers[1],
    parts: extents(numbers, 5),
    pad: numbers[2],
    sha1: numbers[3] !== 0,
    leaves: numbers[4] !== 0,
  }),
  save: ([, torrent], _, data) => ({ torrent, data: data() }),
  http: ([, bytesMax, redirectsMax, timeout], [url]) => ({ url, bytesMax, redirectsMax, timeout }),
  exchange: ([, publicKey], _, data) => {
    const keys = data();
    return { private: keys.subarray(0, 20), public: publicKey !== 0, theirs: keys.length > 20 ? keys.subarray(20) : null };
  },
  resolve: ([, port], [host]) => ({ host, port }),
};

const others = {
  connect: ([conn], [to]) => ({ conn, to }),
  connectHttp: ([conn, redirectsMax, first, last], [url]) => ({
    conn,
    url,
    redirectsMax,
    range: first === undefined ? null : [first, last],
  }),
  connectWebSocket: ([conn], [url]) => ({ conn, url }),
  close: ([conn, flush]) => ({ conn, flush: flush !== 0 }),
  interest: ([conn, readUntil, write]) => ({ conn, readUntil, write: write !== 0 }),
  datagrams: ([local]) => ({ local }),
  cancel: ([job]) => ({ job }),
};

const news = {
  pieceVerified: ([torrent, piece]) => ({ torrent, piece }),
  peerJoined: ([torrent], [address]) => ({ torrent, address }),
  peerLeft: ([torrent], [address]) => ({ torrent, address }),
  trackerAnswered: ([torrent, peers], [url]) => ({ torrent, url, peers }),
  trackerFailed: ([torrent], [url, error]) => ({ torrent, url, error }),
  scraped: ([torrent, seeds, leeches, downloaded], [url]) => ({ torrent, url, seeds, leeches, downloaded }),
  updateAvailable: ([torrent, signed], _, metainfo) => ({ torrent, metainfo, signed: signed !== 0 }),
  banned: ([torrent], [address, reason]) => ({ torrent, address, reason }),
  warned: ([torrent], [message]) => ({ torrent, message }),
  torrentFailed: ([torrent], [reason]) => ({ torrent, reason }),
  listening: ([local], [address]) => ({ local, address }),
  poolChanged: ([from, to]) => ({ from, to }),
  lagged: ([count]) => ({ count }),
  stopped: () => ({}),
};
const ofTorrent = ([torrent]) => ({ torrent });

// the length of a public key, and of a secret
const KEY_BYTES = 96;

// which effects have texts: the others are spared a call
const worded = new Set(["filesOpen", "http", "resolve", "connect", "connectHttp", "connectWebSocket"]);

/** The classes over an instance of the wasm package. */
export function bind(native) {
  class Engine {
    #engine;

    constructor(seed, { now = 0, ...settings } = {}) {
      this.#engine = call(() => {
        const chosen = new native.Settings();
        for (const [name, value] of Object.entries(settings)) {
          if (name === "encryption") {
            chosen.choose(name, String(value));
            continue;
          }
          if (typeof value !== "number") throw new MillstreamError("value", `${name} is a number`);
          chosen.set(name, value);
        }
        return new native.Engine(bytes(seed), now, chosen);
      });
    }

    bound(now, local, address) {
      call(() => this.#engine.bound(now, local, address));
    }
    accept(now, local, to, remote) {
      return call(() => this.#engine.accept(now, local, to, remote));
    }
    opened(now, conn, local, remote) {
      call(() => this.#engine.opened(now, conn, local, remote));
    }
    answered(now, conn, head) {
      const { status, length, range, retryAfter } = head;
      const told = [length, range?.first, range?.last, range?.total, retryAfter].map((n) => n ?? NaN);
      call(() => this.#engine.answered(now, conn, status, Float64Array.from(told)));
    }
    handleReceived(now, conn, data) {
      call(() => this.#engine.handleReceived(now, conn, bytes(data)));
    }
    wrote(now, conn, count) {
      call(() => this.#engine.wrote(now, conn, count));
    }
    closed(now, conn, why = "finished") {
      call(() => this.#engine.closed(now, conn, why));
    }
    drained(now, conn) {
      call(() => this.#engine.drained(now, conn));
    }
    handleTimeout(now) {
      call(() => this.#engine.handleTimeout(now));
    }
    pollTimeout() {
      return this.#engine.pollTimeout();
    }
    pollTransmit(now, conn, max = 256 * 1024) {
      return call(() => this.#engine.pollTransmit(now, conn, max));
    }

    pollEffects() {
      const effects = [];
      for (let kind; (kind = this.#engine.nextEffect()) !== undefined; ) {
        const numbers = this.#engine.flatNumbers();
        const texts = worded.has(kind) ? this.#engine.flatTexts() : [];
        const work = works[kind];
        if (work) {
          const made = { kind, ...work(numbers, texts, () => this.#engine.flatData()) };
          effects.push({ kind: "job", job: numbers[0], work: made });
        } else {
          effects.push({ kind, ...others[kind](numbers, texts) });
        }
      }
      return effects;
    }

    pollEvents() {
      const events = [];
      for (let kind; (kind = this.#engine.nextEvent()) !== undefined; ) {
        const made = (news[kind] ?? ofTorrent)(
          this.#engine.flatNumbers(),
          this.#engine.flatTexts(),
          kind === "updateAvailable" ? this.#engine.flatData() : undefined,
        );
        events.push({ kind, ...made });
      }
      return events;
    }

    done(now, job, outcome) {
      const to = this.#engine;
      call(() => {
        switch (outcome?.kind) {
          case "files":
            return to.doneFiles(
              now,
              job,
              Float64Array.from(outcome.files, (file) => file.length ?? -1),
              Float64Array.from(outcome.files, (file) => file.modified ?? 0),
            );
          case "bytes":
            return to.doneBytes(now, job, bytes(outcome.data));
          case "written":
            return to.doneWritten(now, job);
          case "digests":
            return to.doneDigests(
              now,
              job,
              bytes(outcome.sha1 ?? new Uint8Array()),
              bytes(outcome.leaves ?? new Uint8Array()),
            );
          case "absent":
            return to.doneAbsent(now, job);
          case "saved":
            return to.doneSaved(now, job);
          case "http":
            return to.doneHttp(now, job, outcome.status, bytes(outcome.body));
          case "exchanged":
            return to.doneExchanged(
              now,
              job,
              bytes(outcome.public ?? new Uint8Array()),
              bytes(outcome.secret ?? new Uint8Array()),
            );
          case "resolved":
            return to.doneResolved(now, job, outcome.addresses);
          case "failed":
            return to.doneFailed(now, job, outcome.failure, outcome.message);
          case "cancelled":
            return to.doneCancelled(now, job);
          default:
            throw new MillstreamError("driver", `a job is answered by an outcome, not by ${outcome?.kind}`);
        }
      });
    }

    addTorrent(now, source, folder, { peers, resume, files, allocation, ...flags } = {}) {
      return call(() => {
        const options =
          typeof source === "string"
            ? native.AddOptions.fromMagnet(source, folder)
            : native.AddOptions.fromMetainfo(bytes(source), folder);
        if (peers) options.peers(peers);
        if (resume) options.resume(bytes(resume));
        if (files) options.files(Uint32Array.from(files));
        if (allocation) options.allocation(allocation);
        for (const [name, on] of Object.entries(flags)) options.set(name, Boolean(on));
        return this.#engine.addTorrent(now, options);
      });
    }
    addWebSeeds(now, torrent, urls) {
      call(() => this.#engine.addWebSeeds(now, torrent, urls));
    }
    addPeers(now, torrent, peers) {
      call(() => this.#engine.addPeers(now, torrent, peers));
    }
    setTrackers(now, torrent, tiers) {
      const counts = Uint32Array.from(tiers, (tier) => tier.length);
      call(() => this.#engine.setTrackers(now, torrent, tiers.flat(), counts));
    }
    disconnect(now, torrent, peer, { ban = false } = {}) {
      call(() => this.#engine.disconnect(now, torrent, peer, ban));
    }
    remove(now, torrent) {
      call(() => this.#engine.remove(now, torrent));
    }
    pause(now, torrent) {
      call(() => this.#engine.pause(now, torrent));
    }
    resume(now, torrent) {
      call(() => this.#engine.resume(now, torrent));
    }
    stop(now, by) {
      call(() => this.#engine.stop(now, by));
    }
    info(torrent) {
      return call(() => this.#engine.info(torrent));
    }
    status(torrent) {
      return call(() => {
        const [state, name, infoHashV1, infoHashV2, failure] = this.#engine.statusTexts(torrent);
        const [
          length,
          wanted,
          verified,
          pieces,
          piecesVerified,
          checked,
          toCheck,
          downloaded,
          uploaded,
          wasted,
          downloadRate,
          uploadRate,
          peers,
          seeds,
          known,
        ] = this.#engine.statusNumbers(torrent);
        return {
          state,
          name,
          infoHashV1: infoHashV1 || null,
          infoHashV2: infoHashV2 || null,
          failure: failure || null,
          length,
          wanted,
          verified,
          pieces,
          piecesVerified,
          checked,
          toCheck,
          downloaded,
          uploaded,
          wasted,
          downloadRate,
          uploadRate,
          peers,
          seeds,
          known,
        };
      });
    }

    /** Gives the engine's memory back. It can't be used any more. */
    free() {
      this.#engine.free();
    }
  }

  /** The outcome of an `exchange` job, computed here and now: a fraction of a millisecond natively, a few in wasm. */
  function exchange({ private: secretKey, public: wanted, theirs }) {
    return call(() => {
      const keys = native.exchangeKeys(bytes(secretKey), wanted, theirs ? bytes(theirs) : new Uint8Array());
      const at = wanted ? KEY_BYTES : 0;
      return {
        kind: "exchanged",
        public: wanted ? keys.subarray(0, at) : null,
        secret: theirs ? keys.subarray(at) : null,
      };
    });
  }

  /** What a torrent file says, as a plain value. */
  function parseMetainfo(torrent) {
    return call(() => {
      const parsed = native.Metainfo.parse(bytes(torrent));
      const { name, version, infoHashV1, infoHashV2, length, pieceLength, pieces, paths, lengths } = parsed;
      parsed.free();
      const files = paths.map((path, n) => ({ path, length: lengths[n] }));
      return { name, version, infoHashV1: infoHashV1 ?? null, infoHashV2: infoHashV2 ?? null, length, pieceLength, pieces, files };
    });
  }

  /** What a magnet link says, as a plain value. */
  function parseMagnet(link) {
    return call(() => {
      const parsed = native.Magnet.parse(link);
      const { infoHashV1, infoHashV2, name, trackers } = parsed;
      parsed.free();
      return { infoHashV1: infoHashV1 ?? null, infoHashV2: infoHashV2 ?? null, name: name ?? null, trackers };
    });
  }

  /** Makes a torrent file: `digest` gives the digests of a piece's bytes, `read` the bytes of its extents. */
  function create(name, files, { version = "hybrid", pieceLength = 0, digest }) {
    return call(() => {
      const single = files instanceof Uint8Array;
      const data = single ? new Map([["", files]]) : new Map(Object.entries(files));
      const lengths = Float64Array.from(data.values(), (file) => bytes(file).length);
      const plan = new native.Plan(name, [...data.keys()], lengths, version, pieceLength);
      const order = plan.paths.map((path) => (single ? files : data.get(path)));
      for (let job; (job = plan.nextJob()) !== undefined; ) {
        const [piece, pad, sha1, leaves] = job;
        const spans = extents(job, 4).map((e) => order[e.file].subarray(e.offset, e.offset + e.length));
        const digests = digest(concat(spans), { pad, sha1: sha1 !== 0, leaves: leaves !== 0 });
        plan.onDigests(piece, digests.sha1 ?? new Uint8Array(), digests.leaves ?? new Uint8Array());
      }
      return plan.finish();
    });
  }

  return {
    Engine,
    exchange,
    parseMetainfo,
    parseMagnet,
    create,
    selftestDigest: (seed) => native.selftestDigest(seed),
    version: () => native.version(),
  };
}

/** Several runs of bytes as one. */
export function concat(spans) {
  const out = new Uint8Array(spans.reduce((sum, span) => sum + span.length, 0));
  let at = 0;
  for (const span of spans) {
    out.set(span, at);
    at += span.length;
  }
  return out;
}
