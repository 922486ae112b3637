//! millstream's engine for wasm.
