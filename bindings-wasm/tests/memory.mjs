// A world in memory for engines: links that join two of them, a disk that is a Map, a clock that jumps.
import { createHash } from "node:crypto";

export const millstream = await import(`${process.env.MILLSTREAM_PACKAGE}/millstream.mjs`);
const { Engine, concat, exchange } = millstream;

const STEPS_MAX = 100_000;
const BLOCK = 16 * 1024;

/** Bytes that are drawn from a number. */
export function payload(length, seed = 7) {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, n) =>
    createHash("sha256").update(`${seed} ${n}`).digest(),
  );
  return new Uint8Array(concat(blocks).subarray(0, length));
}

/** The digests that a job wants. */
export function digest(data, { pad, sha1, leaves }) {
  const out = {};
  if (sha1) out.sha1 = createHash("sha1").update(data).update(new Uint8Array(pad)).digest();
  if (leaves) {
    const blocks = [];
    for (let at = 0; at < data.length; at += BLOCK) {
      blocks.push(createHash("sha256").update(data.subarray(at, at + BLOCK)).digest());
    }
    out.leaves = concat(blocks);
  }
  return out;
}

/** A disk in memory: files by their path with slashes. */
class Disk {
  constructor(files) {
    this.files = new Map(Object.entries(files));
    this.paths = new Map();
    this.hashed = 0;
  }

  carryOut(work) {
    switch (work.kind) {
      case "filesOpen":
        this.paths.set(work.torrent, work.files.map((file) => file.path));
        return this.#now(work.torrent);
      case "filesSync":
        return this.#now(work.torrent);
      case "filesClose":
        return { kind: "files", files: [] };
      case "read": {
        const data = this.#read(work);
        return data ? { kind: "bytes", data } : { kind: "failed", failure: "notFound", message: "no such bytes" };
      }
      case "write": {
        let at = 0;
        for (const { file, offset, length } of work.extents) {
          const path = this.paths.get(work.torrent)[file];
          const old = this.files.get(path) ?? new Uint8Array();
          const grown = new Uint8Array(Math.max(old.length, offset + length));
          grown.set(old);
          grown.set(work.data.subarray(at, at + length), offset);
          this.files.set(path, grown);
          at += length;
        }
        return { kind: "written" };
      }
      case "hash":
        this.hashed += work.data.length;
        return { kind: "digests", ...digest(work.data, work) };
      case "hashStored": {
        const data = this.#read(work);
        return data ? { kind: "digests", ...digest(data, work) } : { kind: "absent" };
      }
      case "save":
        return { kind: "saved" };
      case "exchange":
        return exchange(work);
      default:
        return { kind: "failed", failure: "notFound", message: "this world has no servers" };
    }
  }

  #now(torrent) {
    const length = (path) => this.files.get(path)?.length ?? null;
    return { kind: "files", files: this.paths.get(torrent).map((path) => ({ length: length(path) })) };
  }

  #read({ torrent, parts }) {
    const spans = parts.map((part) =>
      "pad" in part
        ? new Uint8Array(part.pad)
        : (this.files.get(this.paths.get(torrent)[part.file]) ?? new Uint8Array()).subarray(
            part.offset,
            part.offset + part.length,
          ),
    );
    const whole = parts.every((part, n) => spans[n].length === (part.pad ?? part.length));
    return whole ? concat(spans) : null;
  }
}

/** An engine with a disk, at an address. */
class Host {
  constructor(world, number, files) {
    this.world = world;
    this.ip = `10.0.0.${number}`;
    this.address = `${this.ip}:6881`;
    this.disk = new Disk(files);
    this.engine = new Engine(new Uint8Array(32).fill(number));
    this.events = [];
    this.ends = new Map();
    this.engine.bound(0, 1, this.address);
  }

  /** Whether it told of an event of this kind. */
  told(kind) {
    return this.events.some((event) => event.kind === kind);
  }

  drain() {
    let busy = false;
    const pulls = [];
    for (const effect of this.engine.pollEffects()) {
      busy = true;
      if (effect.kind === "connect") this.world.join(this, effect.conn, effect.to);
      else if (effect.kind === "close") this.world.part(this, effect.conn);
      else if (effect.kind === "interest" && effect.write) pulls.push(effect.conn);
      else if (effect.kind === "job") {
        this.engine.done(this.world.now, effect.job, this.disk.carryOut(effect.work));
      }
    }
    for (const conn of pulls) busy = this.world.carry(this, conn) || busy;
    this.events.push(...this.engine.pollEvents());
    return busy;
  }
}

/** Hosts and the links between them. Nothing is slow; time jumps to the next deadline when nothing moves. */
export class World {
  now = 0;
  hosts = [];
  carried = 0;
  spoil = (_, data) => data;

  host(files = {}) {
    const host = new Host(this, this.hosts.length + 1, files);
    this.hosts.push(host);
    return host;
  }

  join(caller, conn, to) {
    const called = this.hosts.find((host) => host.address === to);
    if (!called) return caller.engine.closed(this.now, conn, "refused");
    const far = called.engine.accept(this.now, 1, to, `${caller.ip}:${40_000 + conn}`);
    caller.ends.set(conn, [called, far]);
    called.ends.set(far, [caller, conn]);
    caller.engine.opened(this.now, conn, caller.address, to);
  }

  part(host, conn) {
    const end = host.ends.get(conn);
    host.ends.delete(conn);
    host.engine.drained(this.now, conn);
    end?.[0].engine.closed(this.now, end[1]);
  }

  carry(host, conn) {
    let sent = false;
    for (let data; (data = host.engine.pollTransmit(this.now, conn)); sent = true) {
      host.engine.wrote(this.now, conn, data.length);
      const end = host.ends.get(conn);
      if (!end) continue;
      this.carried += data.length;
      end[0].engine.handleReceived(this.now, end[1], this.spoil(host, data));
    }
    return sent;
  }

  /** Runs until something is so; fails if it isn't within so many milliseconds of this world. */
  run(until, within = 600_000) {
    const end = this.now + within;
    for (let step = 0; step < STEPS_MAX; step++) {
      if (until()) return;
      if (this.hosts.map((host) => host.drain()).some(Boolean)) continue;
      const due = this.hosts.map((host) => host.engine.pollTimeout() ?? Infinity);
      this.now = Math.max(this.now, Math.min(...due));
      if (this.now > end) break;
      for (const host of this.hosts) host.engine.handleTimeout(this.now);
    }
    const events = this.hosts.map((host) => JSON.stringify(host.events)).join("\n");
    throw new Error(`not so at ${this.now} ms:\n${events}`);
  }
}
