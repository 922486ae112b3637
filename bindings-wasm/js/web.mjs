// millstream for browsers: `load` fetches the wasm beside this file, or takes another place or a module.
import init, * as native from "./millstream.js";
import { bind } from "./engine.mjs";

export { MillstreamError, concat } from "./engine.mjs";

export async function load(from) {
  await init(from === undefined ? undefined : { module_or_path: from });
  return bind(native);
}
