// millstream for Node: the wasm is loaded as the module is.
import native from "./millstream.js";
import { bind } from "./engine.mjs";

export { MillstreamError, concat } from "./engine.mjs";
export const { Engine, exchange, parseMetainfo, parseMagnet, create, selftestDigest, version } = bind(native);
