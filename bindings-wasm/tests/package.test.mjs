// The package as Node sees it.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";

const millstream = createRequire(import.meta.url)(`${process.env.MILLSTREAM_PACKAGE}/millstream.js`);

test("the package says its version", () => {
  assert.match(millstream.version(), /^\d+\.\d+\.\d+/);
});
