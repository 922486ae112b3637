export * from "./engine.mjs";
import type { Millstream } from "./engine.mjs";
/** Fetches the wasm beside this file, or takes another place or a module. */
export function load(from?: string | URL | Request | Response | BufferSource | WebAssembly.Module): Promise<Millstream>;
