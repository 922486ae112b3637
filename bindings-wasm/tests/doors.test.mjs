// What the border refuses, and how it says so: clearly, never by a trap.
import assert from "node:assert/strict";
import test from "node:test";
import { digest, millstream, payload } from "./memory.mjs";

const { Engine, MillstreamError } = millstream;
const DATA = payload(100_000);
const TORRENT = millstream.create("thing", DATA, { pieceLength: 16 * 1024, digest });
const engine = (settings) => new Engine(new Uint8Array(32).fill(1), settings);

function refuses(code, pattern, inside) {
  assert.throws(inside, (error) => {
    assert.ok(error instanceof MillstreamError, `${error}`);
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  });
}

test("the package says its version", () => {
  assert.match(millstream.version(), /^\d+\.\d+\.\d+/);
});

test("junk is no torrent and no magnet", () => {
  for (const junk of ["", "d", "de", "d4:infode", "l".repeat(100_000)]) {
    const bytes = new TextEncoder().encode(junk);
    refuses("metainfo", /./, () => millstream.parseMetainfo(bytes));
    refuses("metainfo", /./, () => engine().addTorrent(0, bytes, "anywhere"));
  }
  for (const junk of ["", "magnet:?", "magnet:?xt=urn:btih:12", "http://x"]) {
    refuses("magnet", /./, () => millstream.parseMagnet(junk));
    refuses("magnet", /./, () => engine().addTorrent(0, junk, "anywhere"));
  }
});

test("what is no bytes is refused", () => {
  for (const junk of [null, undefined, 5, "text", new Uint32Array([1, 300]), {}]) {
    refuses("value", /bytes are/, () => engine().handleReceived(0, 1, junk));
  }
});

test("what is no moment is refused, and a clock that goes back", () => {
  for (const now of [-1, NaN, Infinity, 1e300]) {
    refuses("driver", /no moment/, () => engine().handleTimeout(now));
  }
  const it = engine();
  it.handleTimeout(5);
  refuses("driver", /went back/, () => it.handleTimeout(4.999));
  it.handleTimeout(5);
});

test("a timeout given back is the same moment", () => {
  const it = engine({ now: 1234.567 });
  it.addTorrent(1234.567, TORRENT, "anywhere", { peers: ["10.0.0.9:1"] });
  for (let at; (at = it.pollTimeout()) !== undefined && at < 1e9; ) {
    it.handleTimeout(at);
    assert.ok(!(it.pollTimeout() <= at), "what was due is done");
  }
});

test("a setting or option that isn't there is named", () => {
  refuses("value", /linkMax/, () => engine({ linkMax: 5 }));
  refuses("value", /-5/, () => engine({ linksMax: -5 }));
  refuses("value", /linksMax/, () => engine({ linksMax: "many" }));
  refuses("value", /pause/, () => engine().addTorrent(0, TORRENT, "anywhere", { pause: true }));
  refuses("value", /32/, () => new Engine(new Uint8Array(5)));
  refuses("value", /not an address/, () => engine().bound(0, 1, "example.org:5"));
});

test("torrents that aren't there, or are there already, are named", () => {
  refuses("torrentNotFound", /77/, () => engine().status(77));
  refuses("torrentNotFound", /77/, () => engine().pause(0, 77));
  refuses("value", /whole number/, () => engine().status(1.5));
  const it = engine();
  it.addTorrent(0, TORRENT, "anywhere");
  refuses("duplicateTorrent", /already/, () => it.addTorrent(0, TORRENT, "elsewhere"));
});

test("trackers are replaced, and peers sent away", () => {
  const it = engine();
  const id = it.addTorrent(0, TORRENT, "anywhere");
  it.setTrackers(0, id, [["http://a.example/announce", "udp://b.example:80"], ["wss://c.example"]]);
  refuses("command", /ftp:.*scheme/, () => it.setTrackers(0, id, [["http://a.example/announce"], ["ftp://b.example"]]));
  refuses("command", /no peer 10.0.0.1:1/, () => it.disconnect(0, id, "10.0.0.1:1"));
  it.disconnect(0, id, "10.0.0.1:1", { ban: true });
  const banned = it.pollEvents().filter((event) => event.kind === "banned");
  assert.deepEqual(banned.map((event) => event.peer ?? event.address), ["10.0.0.1:1"]);
});

test("an answer must fit its job and come once", () => {
  const it = engine();
  it.addTorrent(0, TORRENT, "anywhere");
  const { job, work } = it.pollEffects().find((effect) => effect.kind === "job");
  assert.deepEqual(work.files, [
    { path: "thing", length: DATA.length, pad: false, executable: false, symlink: null, wanted: true },
  ]);
  refuses("driver", /answered by Files, not by Written/, () => it.done(0, job, { kind: "written" }));
  refuses("driver", /not by undefined/, () => it.done(0, job, {}));
  refuses("driver", /0 files were told of 1/, () => it.done(0, job, { kind: "files", files: [] }));
  it.done(0, job, { kind: "files", files: [{ length: null }] });
  refuses("driver", /no answer is owed/, () => it.done(0, job, { kind: "files", files: [{ length: null }] }));
  refuses("driver", /no close/, () => it.drained(0, 1));
});

test("bytes of a stranger end its link and throw nothing", () => {
  for (let n = 0; n < 30; n++) {
    const it = engine();
    it.addTorrent(0, TORRENT, "anywhere");
    const conn = it.accept(0, 1, "10.0.0.1:1", "10.0.0.2:2");
    it.handleReceived(0, conn, payload(1 + 400 * n, n));
    it.handleTimeout(60_000);
    const closes = it.pollEffects().filter((effect) => effect.kind === "close");
    assert.deepEqual(closes.map((close) => close.conn), [conn]);
    it.handleReceived(60_000, conn, payload(10));
    it.drained(60_000, conn);
    it.free();
  }
});
