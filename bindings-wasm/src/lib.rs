//! millstream's engine for browsers and Node. Owns the bridge and no behaviour: numbers and bytes cross it flat, and
//! `js/engine.mjs` makes values of them.

mod effects;
mod engine;
mod events;
mod fault;
mod metainfo;
mod outcomes;
mod plan;
mod selftest;
mod settings;

pub use engine::Engine;
pub use metainfo::{Magnet, Metainfo};
pub use outcomes::exchange_keys;
pub use plan::Plan;
pub use selftest::selftest_digest;
pub use settings::{AddOptions, Settings};

use wasm_bindgen::prelude::wasm_bindgen;

/// The engine's version.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
