// Types of the doors. Moments are milliseconds since whenever you like, and never go back; addresses are texts as
// `10.0.0.1:6881` or `[::1]:6881`; info-hashes are hex.

export type Address = string;
export type Allocation = "sparse" | "full" | "none";
export type Version = "v1" | "v2" | "hybrid";
export type State = "metadata" | "checking" | "leeching" | "seeding" | "paused" | "failed" | "stopping";
export type LinkEnd = "finished" | "reset" | "refused" | "timedOut" | "unreachable" | "host";
export type FailureKind = "full" | "permission" | "notFound" | "timedOut" | "other";
export type Code =
  | "metainfo"
  | "magnet"
  | "create"
  | "driver"
  | "value"
  | "command"
  | "refused"
  | "torrentNotFound"
  | "duplicateTorrent";

/** A refusal: `code` says what kind. A peer's fault is never one; it costs that peer its link. */
export class MillstreamError extends Error {
  constructor(code: Code, message: string);
  readonly code: Code;
}

/** A range of one file; `file` counts the files of `filesOpen`. */
export interface Extent {
  file: number;
  offset: number;
  length: number;
}
/** A range of a file, or so many zeros that are stored nowhere. */
export type Part = Extent | { pad: number };

export interface FileSpec {
  /** Safe components joined by slashes, the torrent's name first. */
  path: string;
  length: number;
  pad: boolean;
  executable: boolean;
  symlink: string | null;
}

/** What a job asks for; the comment says which outcome answers it, beside `failed` and `cancelled`. */
export type Work =
  | { kind: "filesOpen"; torrent: number; folder: string; allocation: Allocation; files: FileSpec[] } // files
  | { kind: "filesSync" | "filesClose"; torrent: number } // files
  | { kind: "read"; torrent: number; parts: Part[] } // bytes
  | { kind: "write"; torrent: number; extents: Extent[]; data: Uint8Array } // written
  | { kind: "hash"; data: Uint8Array; pad: number; sha1: boolean; leaves: boolean } // digests
  | { kind: "hashStored"; torrent: number; parts: Part[]; pad: number; sha1: boolean; leaves: boolean } // digests, absent
  | { kind: "save"; torrent: number; data: Uint8Array } // saved
  | { kind: "http"; url: string; bytesMax: number; redirectsMax: number; timeout: number } // http
  | ({ kind: "exchange" } & KeyExchange) // exchanged
  | { kind: "resolve"; host: string; port: number }; // resolved

export type Outcome =
  | { kind: "files"; files: { length: number | null; modified?: number }[] }
  | { kind: "bytes"; data: Uint8Array | ArrayBuffer }
  | { kind: "written" | "absent" | "saved" | "cancelled" }
  | ({ kind: "digests" } & Digests)
  | { kind: "http"; status: number; body: Uint8Array | ArrayBuffer }
  | Exchanged
  | { kind: "resolved"; addresses: Address[] }
  | { kind: "failed"; failure: FailureKind; message: string };

/** An exchange of keys for an encrypted link: 20 bytes of a private key, whether our public one is wanted, theirs. */
export interface KeyExchange {
  private: Uint8Array;
  public: boolean;
  theirs: Uint8Array | null;
}
/** 96 bytes each; only what was wanted. */
export interface Exchanged {
  kind: "exchanged";
  public?: Uint8Array | null;
  secret?: Uint8Array | null;
}

/** The SHA-1 over the bytes and `pad` zeros, and the SHA-256 of each 16 KiB, one after the other; only what was wanted. */
export interface Digests {
  sha1?: Uint8Array;
  leaves?: Uint8Array;
}

export type Effect =
  | { kind: "connect"; conn: number; to: Address }
  | { kind: "connectHttp"; conn: number; url: string; redirectsMax: number; range: [first: number, last: number] | null }
  | { kind: "connectWebSocket"; conn: number; url: string }
  | { kind: "close"; conn: number; flush: boolean }
  | { kind: "interest"; conn: number; readUntil: number; write: boolean }
  | { kind: "datagrams"; local: number }
  | { kind: "job"; job: number; work: Work }
  | { kind: "cancel"; job: number };

export type Event =
  | { kind: "metadata" | "checked" | "progress" | "completed" | "resumeSaved" | "removed"; torrent: number }
  | { kind: "pieceVerified"; torrent: number; piece: number }
  | { kind: "peerJoined" | "peerLeft"; torrent: number; address: Address }
  | { kind: "trackerAnswered"; torrent: number; url: string; peers: number }
  | { kind: "trackerFailed"; torrent: number; url: string; error: string }
  | { kind: "scraped"; torrent: number; url: string; seeds: number; leeches: number; downloaded: number }
  | { kind: "updateAvailable"; torrent: number; metainfo: Uint8Array; signed: boolean }
  | { kind: "banned"; torrent: number; address: Address; reason: string }
  | { kind: "warned"; torrent: number; message: string }
  | { kind: "torrentFailed"; torrent: number; reason: string }
  | { kind: "listening"; local: number; address: Address }
  | { kind: "poolChanged"; from: number; to: number }
  | { kind: "lagged"; count: number }
  | { kind: "stopped" };

/** Sizes in bytes, rates in bytes a second. `checked` of `toCheck` bytes are looked at while checking. */
export interface Status {
  state: State;
  name: string;
  infoHashV1: string | null;
  infoHashV2: string | null;
  failure: string | null;
  length: number;
  wanted: number;
  verified: number;
  pieces: number;
  piecesVerified: number;
  checked: number;
  toCheck: number;
  downloaded: number;
  uploaded: number;
  wasted: number;
  downloadRate: number;
  uploadRate: number;
  peers: number;
  seeds: number;
  known: number;
}

/** Times in milliseconds, rates in bytes a second. */
export interface Settings {
  now?: number;
  torrentsMax?: number;
  linksMax?: number;
  trackerSocketsMax?: number;
  torrentLinksMax?: number;
  halfOpenMax?: number;
  handshakesMax?: number;
  handshakeTimeout?: number;
  connectTimeout?: number;
  storeBytesMax?: number;
  uploadAheadBytesMax?: number;
  requestsOutstandingMax?: number;
  creditBytes?: number;
  uploadSlots?: number;
  downloadRate?: number;
  uploadRate?: number;
  checkJobsMax?: number;
  saveInterval?: number;
  eventsMax?: number;
  numwant?: number;
  metadataBytesMax?: number;
  encryption?: "off" | "prefer" | "require";
  keyExchangesMax?: number;
}

export interface AddOptions {
  peers?: Address[];
  resume?: Uint8Array;
  files?: Iterable<number>;
  allocation?: Allocation;
  onlyPeers?: boolean;
  paused?: boolean;
  sequential?: boolean;
  superSeed?: boolean;
}

export interface Metainfo {
  name: string;
  version: Version;
  infoHashV1: string | null;
  infoHashV2: string | null;
  length: number;
  pieceLength: number;
  pieces: number;
  files: { path: string; length: number }[];
}

export interface Magnet {
  infoHashV1: string | null;
  infoHashV2: string | null;
  name: string | null;
  trackers: string[];
}

export interface CreateOptions {
  version?: Version;
  pieceLength?: number;
  digest(data: Uint8Array, want: { pad: number; sha1: boolean; leaves: boolean }): Digests;
}

/** What a web server says before a body: lengths in bytes, `retryAfter` in seconds. */
export interface HttpHead {
  status: number;
  length?: number | null;
  range?: { first: number; last: number; total?: number | null } | null;
  retryAfter?: number | null;
}

/** The engine: bytes, moments and answers go in; effects and events come out. */
export declare class Engine {
  /** `seed` is all its chance: 32 bytes, as secret as a key. */
  constructor(seed: Uint8Array, settings?: Settings);
  bound(now: number, local: number, address: Address): void;
  accept(now: number, local: number, to: Address, remote: Address): number;
  opened(now: number, conn: number, local: Address, remote: Address): void;
  /** A web server's answer to `connectHttp` begins; its body follows by `handleReceived`, then `closed`. */
  answered(now: number, conn: number, head: HttpHead): void;
  handleReceived(now: number, conn: number, data: Uint8Array | ArrayBuffer): void;
  wrote(now: number, conn: number, count: number): void;
  closed(now: number, conn: number, why?: LinkEnd): void;
  drained(now: number, conn: number): void;
  done(now: number, job: number, outcome: Outcome): void;
  handleTimeout(now: number): void;
  pollTimeout(): number | undefined;
  pollTransmit(now: number, conn: number, max?: number): Uint8Array | undefined;
  pollEffects(): Effect[];
  pollEvents(): Event[];
  /** From a torrent file's bytes or a magnet link. Gives the torrent's id. */
  addTorrent(now: number, source: Uint8Array | ArrayBuffer | string, folder: string, options?: AddOptions): number;
  /** More web seeds (BEP 19), by their URLs. */
  addWebSeeds(now: number, torrent: number, urls: string[]): void;
  addPeers(now: number, torrent: number, peers: Address[]): void;
  /** Its trackers from now on, in tiers (BEP 12): those that stay keep their state, those that go are told `stopped`. */
  setTrackers(now: number, torrent: number, tiers: string[][]): void;
  /** Closes the links with a peer, which isn't called for a while; with `ban` neither called nor taken any more. */
  disconnect(now: number, torrent: number, peer: Address, options?: { ban?: boolean }): void;
  remove(now: number, torrent: number): void;
  pause(now: number, torrent: number): void;
  resume(now: number, torrent: number): void;
  stop(now: number, by: number): void;
  info(torrent: number): Uint8Array | undefined;
  status(torrent: number): Status;
  /** Gives the engine's memory back. It can't be used any more. */
  free(): void;
}

export interface Millstream {
  Engine: typeof Engine;
  /** Does an `exchange` job, here and now. */
  exchange(job: KeyExchange): Exchanged;
  parseMetainfo(torrent: Uint8Array | ArrayBuffer): Metainfo;
  parseMagnet(link: string): Magnet;
  /** A torrent file of one file, or of several by their paths with slashes. */
  create(name: string, files: Uint8Array | Record<string, Uint8Array>, options: CreateOptions): Uint8Array;
  /** The digest of a fixed exchange: the same in every build that behaves the same. */
  selftestDigest(seed: number): string;
  version(): string;
}

export function bind(native: unknown): Millstream;
export function concat(spans: Uint8Array[]): Uint8Array;
