//! The arguments of `millstream dht`, and the texts that name hashes and keys.

use crate::rate;
use crate::source::is_magnet;
use clap::Subcommand;
use core::net::SocketAddr;
use millstream::core::wire::krpc::NodeId;
use millstream::core::wire::{InfoHash, Magnet};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(crate) struct DhtArgs {
    #[command(subcommand)]
    pub(crate) command: DhtCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum DhtCommand {
    /// Find peers of a torrent; exits 1 if there are none
    GetPeers(GetPeersArgs),
    /// Tell the nodes nearest to a torrent that there is a peer of it at this host
    Announce(AnnounceArgs),
    /// Count who is in a swarm (BEP 33)
    Scrape(ScrapeArgs),
    /// Fetch an item (BEP 44); exits 1 if there is none
    Get(GetArgs),
    /// Store an item (BEP 44): under its own digest, or under a key that may change it later
    Put(PutArgs),
    /// Collect torrents that nodes know of (BEP 51)
    Sample(SampleArgs),
    /// Make a key for `put --key`; prints the public key
    Keygen(KeygenArgs),
    /// Take part until interrupted: a node that others enter by
    Node(NodeArgs),
}

/// How the DHT is entered.
#[derive(clap::Args, Debug)]
pub(crate) struct EntryArgs {
    /// Enter by this node, host:port; may be given again [default: the well-known ones]
    #[arg(long, value_name = "ADDR", value_parser = rate::host_and_port)]
    pub(crate) bootstrap: Vec<String>,
    /// Listen here; may be given once for each of IPv4 and IPv6 [default: any port]
    #[arg(long, value_name = "ADDR", value_parser = rate::address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// How it is entered, and how long that may take.
#[derive(clap::Args, Debug)]
pub(crate) struct LookupArgs {
    #[command(flatten)]
    pub(crate) entry: EntryArgs,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

#[derive(clap::Args, Debug)]
pub(crate) struct GetPeersArgs {
    /// An info-hash of 40 hex digits, or 64 of v2's, of which the first 40 count; or a magnet link
    #[arg(value_name = "HASH|MAGNET", value_parser = torrent)]
    pub(crate) torrent: InfoHash,
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

#[derive(clap::Args, Debug)]
pub(crate) struct AnnounceArgs {
    /// An info-hash of 40 hex digits, or 64 of v2's, of which the first 40 count; or a magnet link
    #[arg(value_name = "HASH|MAGNET", value_parser = torrent)]
    pub(crate) torrent: InfoHash,
    /// Where peers reach the one that is announced
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// It has everything
    #[arg(long)]
    pub(crate) seed: bool,
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

#[derive(clap::Args, Debug)]
pub(crate) struct ScrapeArgs {
    /// An info-hash of 40 hex digits, or 64 of v2's, of which the first 40 count; or a magnet link
    #[arg(value_name = "HASH|MAGNET", value_parser = torrent)]
    pub(crate) torrent: InfoHash,
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

#[derive(clap::Args, Debug)]
pub(crate) struct GetArgs {
    /// What `put` said: 40 hex digits
    #[arg(value_name = "TARGET", value_parser = target, required_unless_present = "public_key")]
    pub(crate) target: Option<NodeId>,
    /// The item of this key: 64 hex digits
    #[arg(long, value_name = "KEY", value_parser = public_key, conflicts_with = "target")]
    pub(crate) public_key: Option<[u8; 32]>,
    /// What tells a key's items apart
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) salt: String,
    /// The bencoded value as it is stored, where otherwise the bytes of a string are unwrapped
    #[arg(long)]
    pub(crate) bencoded: bool,
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

#[derive(clap::Args, Debug)]
pub(crate) struct PutArgs {
    /// Store what is in this file
    #[arg(value_name = "FILE", required_unless_present = "text")]
    pub(crate) file: Option<PathBuf>,
    /// Store this text
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// It is bencode already, where otherwise it becomes a string
    #[arg(long)]
    pub(crate) bencoded: bool,
    /// Sign it with the key in this file (`dht keygen`)
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// What tells a key's items apart: at most 64 bytes
    #[arg(long, value_name = "TEXT", default_value = "", requires = "key")]
    pub(crate) salt: String,
    /// The version [default: one more than what is found]
    #[arg(long, value_name = "N", requires = "key", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seq: Option<i64>,
    /// Only in the place of this version
    #[arg(long, value_name = "N", requires = "key", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) cas: Option<i64>,
    /// Stay, and store it again each hour until interrupted: nodes forget what isn't, after two hours (BEP 44)
    #[arg(long)]
    pub(crate) keep: bool,
    /// Seconds instead of an hour
    #[arg(long, value_name = "S", default_value_t = 3600, hide = true, requires = "keep")]
    pub(crate) keep_interval: u64,
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

#[derive(clap::Args, Debug)]
pub(crate) struct SampleArgs {
    /// Ask the nodes on the way to this point: 40 hex digits [default: one by chance]
    #[arg(long, value_name = "TARGET", value_parser = target)]
    pub(crate) target: Option<NodeId>,
    #[command(flatten)]
    pub(crate) lookup: LookupArgs,
}

#[derive(clap::Args, Debug)]
pub(crate) struct KeygenArgs {
    /// Where the secret key goes: a new file that nobody else may read
    pub(crate) file: PathBuf,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    pub(crate) entry: EntryArgs,
}

/// Bytes of hex digits.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        let digit = |n: usize| char::from(pair[n]).to_digit(16);
        *byte = (digit(0)? * 16 + digit(1)?) as u8;
    }
    Some(out)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn torrent(text: &str) -> Result<InfoHash, String> {
    if is_magnet(text) {
        let magnet = Magnet::parse(text).map_err(|error| error.to_string())?;
        return magnet.hashes().next().ok_or_else(|| "it names no torrent".to_owned());
    }
    let hash = rate::info_hash(text).ok();
    hash.map(InfoHash)
        .ok_or_else(|| "an info-hash has 40 hex digits, or 64 of which the first 40 count".to_owned())
}

fn target(text: &str) -> Result<NodeId, String> {
    unhex(text).map(NodeId).ok_or_else(|| "a target has 40 hex digits".to_owned())
}

fn public_key(text: &str) -> Result<[u8; 32], String> {
    unhex(text).ok_or_else(|| "a public key has 64 hex digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torrents_are_hashes_or_magnet_links() {
        let hash = "0123456789abcdef0123456789ABCDEF01234567";
        assert_eq!(torrent(hash), torrent(&format!("magnet:?xt=urn:btih:{hash}")));
        assert!(torrent(hash).is_ok());
        assert_eq!(torrent(&format!("{hash}{}", "ab".repeat(12))), torrent(hash), "BEP 52: v2's, cut");
        for text in ["", "12", "magnet:?dn=x", "g123456789abcdef0123456789abcdef01234567", "é123456789"] {
            assert!(torrent(text).is_err(), "{text}");
        }
    }
}
