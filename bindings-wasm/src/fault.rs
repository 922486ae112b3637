//! Refusals as JavaScript errors: a code, a colon, and what is wrong. `js/engine.mjs` makes typed errors of them.

use core::fmt::Display;
use core::net::SocketAddr;
use millstream_core::base::Instant;
use wasm_bindgen::prelude::JsError;

/// The driver broke the law.
pub(crate) fn driver(what: impl Display) -> JsError {
    fault("driver", what)
}

/// An argument that is none.
pub(crate) fn value(what: impl Display) -> JsError {
    fault("value", what)
}

/// A refusal of this code.
pub(crate) fn fault(code: &str, what: impl Display) -> JsError {
    JsError::new(&format!("{code}: {what}"))
}

/// An id or a size as JavaScript has it.
pub(crate) fn number(value: u64) -> f64 {
    value as f64
}

/// A whole number that JavaScript holds exactly.
pub(crate) fn whole(value: f64) -> Result<u64, JsError> {
    if (0.0..=WHOLE_MAX).contains(&value) && value.fract() == 0.0 {
        Ok(value as u64)
    } else {
        Err(self::value(format_args!("{value} is not a whole number from 0 to 2^53 - 1")))
    }
}

const WHOLE_MAX: f64 = 9_007_199_254_740_991.0;

/// Beyond this many milliseconds a float no longer tells microseconds apart.
const MILLISECONDS_MAX: f64 = 4.0e12;

/// A moment from milliseconds, to the nearest microsecond.
pub(crate) fn moment(milliseconds: f64) -> Result<Instant, JsError> {
    if !(0.0..=MILLISECONDS_MAX).contains(&milliseconds) {
        return Err(driver(format_args!("{milliseconds} is no moment: milliseconds from 0 to 4e12 are")));
    }
    Ok(Instant::from_micros((milliseconds * 1e3).round() as u64))
}

/// Milliseconds of a moment; given back to `moment`, it is the same moment.
pub(crate) fn milliseconds(at: Instant) -> f64 {
    at.as_micros() as f64 / 1e3
}

/// An address in text, as `10.0.0.1:6881` or `[::1]:6881`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, JsError> {
    text.parse().map_err(|_| value(format_args!("{text:?} is not an address")))
}

/// Addresses in text.
pub(crate) fn addresses(texts: &[String]) -> Result<Vec<SocketAddr>, JsError> {
    texts.iter().map(|text| address(text)).collect()
}
