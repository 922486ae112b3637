//! Answers to jobs on the way in.

use crate::fault::{value, whole};
use millstream_core::base::Digests;
use millstream_core::engine::{FileNow, HostError, HostErrorKind, LinkEnd};
use millstream_core::mse::exchange;
use millstream_core::wire::mse::{Exchanged, KeyExchange, PrivateKey, PublicKey, SharedSecret};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// Digests from 20 bytes or none, and 32 bytes for each leaf.
pub(crate) fn digests(sha1: &[u8], leaves: &[u8]) -> Result<Digests, JsError> {
    let wrong = || value(format_args!("{} and {} bytes are no digests", sha1.len(), leaves.len()));
    let sha1 = if sha1.is_empty() { None } else { Some(sha1.try_into().map_err(|_| wrong())?) };
    let (leaves, rest) = leaves.as_chunks::<32>();
    if rest.is_empty() { Ok(Digests { sha1, leaves: leaves.to_vec() }) } else { Err(wrong()) }
}

/// Keys from 96 bytes each or none.
pub(crate) fn exchanged(public: &[u8], secret: &[u8]) -> Result<Exchanged, JsError> {
    let wrong = || value(format_args!("{} and {} bytes are no keys", public.len(), secret.len()));
    let key = |bytes: &[u8]| {
        if bytes.is_empty() { Ok(None) } else { bytes.try_into().map(Some).map_err(|_| wrong()) }
    };
    Ok(Exchanged { public: key(public)?.map(PublicKey), secret: key(secret)?.map(SharedSecret) })
}

/// Does an exchange of keys: the public key if it is wanted, and the secret if there is a key of theirs; one after the
/// other.
#[wasm_bindgen(js_name = exchangeKeys)]
pub fn exchange_keys(private: &[u8], public: bool, theirs: &[u8]) -> Result<Vec<u8>, JsError> {
    let wrong = |_| value(format_args!("{} and {} bytes are no keys", private.len(), theirs.len()));
    let theirs = if theirs.is_empty() { None } else { Some(PublicKey(theirs.try_into().map_err(wrong)?)) };
    let private = PrivateKey(private.try_into().map_err(wrong)?);
    let keys = exchange(&KeyExchange { private, public, theirs });
    let both = keys.public.map(|key| key.0).into_iter().chain(keys.secret.map(|key| key.0));
    Ok(both.flatten().collect())
}

/// Files from their lengths, -1 for one that isn't there, and the milliseconds since 1970 when they changed.
pub(crate) fn files(lengths: &[f64], modified: &[f64]) -> Result<Vec<FileNow>, JsError> {
    if lengths.len() != modified.len() {
        return Err(value("as many lengths as times are needed"));
    }
    let file = |(&length, &modified): (&f64, &f64)| {
        let length = if length == -1.0 { None } else { Some(whole(length)?) };
        Ok(FileNow { length, modified_ns: whole(modified.floor())?.saturating_mul(1_000_000) })
    };
    lengths.iter().zip(modified).map(file).collect()
}

/// A failure of the host.
pub(crate) fn failed(kind: &str, message: String) -> Result<HostError, JsError> {
    let kind = match kind {
        "full" => HostErrorKind::Full,
        "permission" => HostErrorKind::Permission,
        "notFound" => HostErrorKind::NotFound,
        "timedOut" => HostErrorKind::TimedOut,
        "other" => HostErrorKind::Other,
        _ => return Err(value(format_args!("{kind:?} is no kind of failure"))),
    };
    Ok(HostError { kind, message })
}

/// Why a link ended.
pub(crate) fn link_end(why: &str) -> Result<LinkEnd, JsError> {
    match why {
        "finished" => Ok(LinkEnd::Finished),
        "reset" => Ok(LinkEnd::Reset),
        "refused" => Ok(LinkEnd::Refused),
        "timedOut" => Ok(LinkEnd::TimedOut),
        "unreachable" => Ok(LinkEnd::Unreachable),
        "host" => Ok(LinkEnd::Host("the driver failed".to_owned())),
        _ => Err(value(format_args!("{why:?} is no way for a link to end"))),
    }
}
