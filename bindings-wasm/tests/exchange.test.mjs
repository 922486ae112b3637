// Engines exchange torrents in memory. Payload crosses the border both ways; JavaScript stores and digests it.
import assert from "node:assert/strict";
import test from "node:test";
import { World, digest, millstream, payload } from "./memory.mjs";

const PIECE = 32 * 1024;
const SIZE = 10 * PIECE + 12_345;

for (const version of ["v1", "v2", "hybrid"]) {
  const make = (name, files) => millstream.create(name, files, { version, pieceLength: PIECE, digest });

  test(`two engines exchange a ${version} torrent of many pieces`, () => {
    const files = { "first.bin": payload(SIZE), "sub/second.bin": payload(3 * PIECE + 1, 8), third: new Uint8Array() };
    const torrent = make("things", files);
    assert.equal(millstream.parseMetainfo(torrent).version, version);
    const world = new World();
    const stored = Object.fromEntries(Object.entries(files).map(([path, data]) => [`things/${path}`, data]));
    const [seed, leech] = [world.host(stored), world.host()];
    const theirs = seed.engine.addTorrent(0, torrent, "anywhere");
    const ours = leech.engine.addTorrent(0, torrent, "anywhere", { peers: [seed.address] });
    world.run(() => leech.told("completed"));

    const length = SIZE + 3 * PIECE + 1;
    for (const [path, data] of Object.entries(stored)) {
      if (data.length > 0) assert.deepEqual(leech.disk.files.get(path), data);
    }
    assert.ok(world.carried > length, "the payload went over the link");
    assert.ok(leech.disk.hashed >= length, "JavaScript digested every byte");
    const status = leech.engine.status(ours);
    assert.deepEqual([status.state, status.length, status.downloaded], ["seeding", length, length]);
    assert.equal(seed.engine.status(theirs).uploaded, length);
    const pieces = leech.events.filter((event) => event.kind === "pieceVerified").map((event) => event.piece);
    assert.deepEqual(pieces.sort((a, b) => a - b), Array.from({ length: status.pieces }, (_, n) => n));
  });

  test(`a corrupted block of a ${version} torrent is refused, and an honest engine completes`, () => {
    const data = payload(SIZE);
    const torrent = make("thing", data);
    const world = new World();
    const [liar, honest, leech] = [world.host({ thing: data }), world.host({ thing: data }), world.host()];
    let lies = 0;
    world.spoil = (sender, sent) => {
      if (sender !== liar || sent.length < 16 * 1024) return sent;
      lies += 1;
      sent[sent.length - 100] ^= 1;
      return sent;
    };
    for (const host of [liar, honest]) host.engine.addTorrent(0, torrent, "anywhere");
    const ours = leech.engine.addTorrent(0, torrent, "anywhere", { peers: [liar.address], onlyPeers: true });
    world.run(() => leech.told("banned"));
    assert.ok(lies > 0);
    const banned = leech.events.filter((event) => event.kind === "banned").map((event) => event.address);
    assert.deepEqual(banned, [liar.address]);
    assert.ok(!leech.told("completed"), "never with what the liar sent");
    assert.ok(leech.engine.status(ours).wasted > 0);

    leech.engine.addPeers(world.now, ours, [honest.address]);
    world.run(() => leech.told("completed"));
    assert.deepEqual(leech.disk.files.get("thing"), data);
  });
}

test("a magnet gets its metadata and then its payload", () => {
  const data = payload(SIZE);
  const torrent = millstream.create("thing", data, { pieceLength: PIECE, digest });
  const { infoHashV1 } = millstream.parseMetainfo(torrent);
  const world = new World();
  const [seed, leech] = [world.host({ thing: data }), world.host()];
  seed.engine.addTorrent(0, torrent, "anywhere");
  const link = `magnet:?xt=urn:btih:${infoHashV1}&dn=a+thing`;
  const ours = leech.engine.addTorrent(0, link, "anywhere", { peers: [seed.address] });
  assert.equal(leech.engine.status(ours).state, "metadata");
  assert.equal(leech.engine.info(ours), undefined);
  world.run(() => leech.told("completed"));
  assert.ok(leech.told("metadata"));
  assert.ok(leech.engine.info(ours).length > 0);
  assert.deepEqual(leech.disk.files.get("thing"), data);
});

test("native and wasm behave the same, bit for bit", () => {
  const native = process.env.MILLSTREAM_SELFTEST;
  assert.match(native ?? "", /^[0-9a-f]{64}$/, "a native build told its digest");
  assert.equal(millstream.selftestDigest(1), native);
  assert.notEqual(millstream.selftestDigest(2), native);
});
