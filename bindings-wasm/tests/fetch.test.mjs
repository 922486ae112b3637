// Links to web servers by `fetch`, against a server on this host and an engine that only takes notes.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import test from "node:test";
import { FetchLink } from "../js/fetch.mjs";

async function story(answer, run) {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const notes = { heads: [], bytes: 0, ends: [], drained: 0 };
  const engine = {
    answered: (_, conn, head) => notes.heads.push(head),
    handleReceived: (_, conn, data) => (notes.bytes += data.length),
    closed: (_, conn, why) => notes.ends.push(why),
    drained: () => (notes.drained += 1),
  };
  let wake;
  const until = async (holds) => {
    while (!holds()) await new Promise((resolve) => (wake = resolve));
  };
  const url = `http://127.0.0.1:${server.address().port}/f`;
  const link = (range) => new FetchLink(engine, { conn: 1, url, range }, { changed: () => wake?.() });
  try {
    await run(link, notes, until);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("a range is asked for, and read no further than the engine allows", () =>
  story(
    (request, response) => {
      assert.equal(request.headers.range, "bytes=5-1000004");
      response.writeHead(206, { "content-range": "bytes 5-1000004/2000000", "content-length": 1000000 });
      response.end(Buffer.alloc(1000000));
    },
    async (link, notes, until) => {
      const one = link([5, 1000004]);
      await until(() => notes.heads.length === 1);
      const range = { first: 5, last: 1000004, total: 2000000 };
      assert.deepEqual(notes.heads[0], { status: 206, length: 1000000, range, retryAfter: null });
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(notes.bytes, 0);
      one.interest(1);
      await until(() => notes.bytes > 0);
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.ok(notes.bytes <= 1 << 17, `one read of overrun: ${notes.bytes}`);
      one.interest(2000000);
      await until(() => notes.ends.length === 1);
      assert.deepEqual([notes.bytes, notes.ends[0]], [1000000, "finished"]);
      one.close();
      assert.equal(notes.drained, 1);
    },
  ));

test("a link that is closed says drained and nothing else", () =>
  story(
    (_, response) => response.writeHead(200, { "content-length": 100 }).write("some"),
    async (link, notes, until) => {
      const one = link(null);
      await until(() => notes.heads.length === 1);
      one.close();
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual([notes.drained, notes.ends, notes.bytes], [1, [], 0]);
    },
  ));

test("a body that breaks off is a reset", () =>
  story(
    (_, response) => {
      response.writeHead(200, { "content-length": 100 }).write("some", () => response.destroy());
    },
    async (link, notes, until) => {
      link(null).interest(100);
      await until(() => notes.ends.length === 1);
      assert.deepEqual(notes.ends, ["reset"]);
    },
  ));
