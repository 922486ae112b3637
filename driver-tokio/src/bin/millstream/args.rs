//! The command's arguments, and what its help says of them.

use crate::dht::DhtArgs;
use crate::rate;
use crate::reach::ReachArgs;
use crate::updates::Updates;
use clap::{ArgAction, Parser, Subcommand};
use core::net::SocketAddr;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0    done: all is verified
  1    failed; one sentence on stderr says what and where
  2    wrong usage
  130  interrupted (SIGINT or SIGTERM): trackers are told and progress is kept, within 5 seconds;
       a second signal ends it at once

Sizes and rates are bytes, or a number with a unit: K, M and G (or KiB, MiB, GiB) count in 1024s, KB, MB and GB in
1000s. Rates may end in /s.

NO_COLOR=1 turns colours off. Without a terminal there are plain lines instead of bars.
`millstream completions SHELL` prints a completion script, `millstream man` the manual page.";

/// Downloads, seeds and makes torrents.
#[derive(Parser, Debug)]
#[command(name = "millstream", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Args {
    /// Log to stderr; twice for details with peers' addresses, three times for every message
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show it all at work on this machine alone: a tracker, a seed and several leeches over loopback
    Demo(DemoArgs),
    /// Download a torrent; run again, it goes on from where it was
    Download(DownloadArgs),
    /// Seed torrents until interrupted
    Seed(SeedArgs),
    /// Make a torrent of a file or a folder
    Create(CreateArgs),
    /// Show what a torrent file or a magnet link says
    Inspect(InspectArgs),
    /// Check stored files against a torrent; exits 1 and names the files that are not whole
    Verify(VerifyArgs),
    /// Serve a tracker over UDP, HTTP and WebSockets until interrupted
    Tracker(TrackerArgs),
    /// Ask the DHT, or store in it (BEP 5, 33, 44, 51)
    Dht(DhtArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page (for example: millstream man > millstream.1)
    Man,
}

#[derive(clap::Args, Debug)]
pub(crate) struct DemoArgs {
    /// How much to share
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = rate::bytes)]
    pub(crate) size: u64,
    /// How many leeches
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) leeches: u32,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where we are reached, and whom we contact.
#[derive(clap::Args, Debug)]
pub(crate) struct NetworkArgs {
    /// Listen here; may be given again [default: 0.0.0.0:6881 and [::]:6881, or the next free port]
    #[arg(long, value_name = "ADDR", value_parser = rate::address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Contact this peer, host:port; may be given again
    #[arg(long = "peer", value_name = "ADDR", value_parser = rate::host_and_port)]
    pub(crate) peers: Vec<String>,
    /// Contact nobody but the given peers and who comes in: no tracker, no discovery of any kind
    #[arg(long)]
    pub(crate) only_peers: bool,
    /// Where newer torrents are saved that a torrent's originator signed (BEP 39), or `off` not to look for any [default:
    /// beside what is remembered between runs]; the transfer goes on as it is
    #[arg(long, value_name = "DIR|off", value_parser = Updates::parse)]
    pub(crate) updates: Option<Updates>,
    /// Send no more than this a second
    #[arg(long, value_name = "RATE", value_parser = rate::rate)]
    pub(crate) max_upload: Option<u64>,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct DownloadArgs {
    /// A torrent file, an http(s) URL of one, or a magnet link: of a torrent, or of a key that names one (BEP 46)
    #[arg(value_name = "TORRENT|MAGNET|URL")]
    pub(crate) torrent: String,
    /// Download into this folder
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Only these files, numbered as `inspect` lists them: 0,2,5-7
    #[arg(long, value_name = "INDEXES", value_parser = rate::indexes)]
    pub(crate) select: Option<rate::Indexes>,
    /// Fetch these files before all others
    #[arg(long, value_name = "INDEXES", value_parser = rate::indexes)]
    pub(crate) high: Option<rate::Indexes>,
    /// Fetch these files after all others
    #[arg(long, value_name = "INDEXES", value_parser = rate::indexes)]
    pub(crate) low: Option<rate::Indexes>,
    /// Pieces in order rather than rarest first
    #[arg(long)]
    pub(crate) sequential: bool,
    /// Go on seeding when it is complete, until interrupted
    #[arg(long)]
    pub(crate) seed: bool,
    /// Receive no more than this a second
    #[arg(long, value_name = "RATE", value_parser = rate::rate)]
    pub(crate) max_download: Option<u64>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct SeedArgs {
    /// Torrent files
    #[arg(value_name = "TORRENT", required = true)]
    pub(crate) torrents: Vec<PathBuf>,
    /// The folder that holds the files: what `download -o` would be given
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(clap::Args, Debug)]
pub(crate) struct CreateArgs {
    /// A file or a folder; symbolic links in a folder are stored as links (BEP 47) if they stay inside it
    pub(crate) path: PathBuf,
    /// Where to write the torrent file, which replaces what is there [default: NAME.torrent in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// For BitTorrent v1 alone
    #[arg(long, group = "version")]
    pub(crate) v1: bool,
    /// For BitTorrent v2 alone
    #[arg(long, group = "version")]
    pub(crate) v2: bool,
    /// For both: the default
    #[arg(long, group = "version")]
    pub(crate) hybrid: bool,
    /// Bytes of a piece: a power of two of at least 16K for v2 and hybrid [default: by size, about 1,500 pieces]
    #[arg(long, value_name = "N", value_parser = rate::piece_length)]
    pub(crate) piece_length: Option<u32>,
    /// A tracker; may be given again, each is tried after those before it
    #[arg(long = "tracker", value_name = "URL", value_parser = rate::url)]
    pub(crate) trackers: Vec<String>,
    /// A web seed (BEP 19); may be given again
    #[arg(long = "web-seed", value_name = "URL", value_parser = rate::url)]
    pub(crate) web_seeds: Vec<String>,
    /// Peers from trackers alone (BEP 27)
    #[arg(long)]
    pub(crate) private: bool,
    /// The info-hash, in hex, of a torrent that may hold the same files (BEP 38); may be given again
    #[arg(long, value_name = "HASH", value_parser = rate::info_hash)]
    pub(crate) similar: Vec<[u8; 20]>,
    /// A collection that it belongs to, like org.example.series (BEP 38); may be given again
    #[arg(long = "collection", value_name = "NAME")]
    pub(crate) collections: Vec<String>,
    /// Where newer torrents will be found (BEP 39)
    #[arg(long, value_name = "URL", value_parser = rate::url)]
    pub(crate) update_url: Option<String>,
    /// The certificate of who signs newer torrents (BEP 39), X.509 in PEM or DER
    #[arg(long, value_name = "FILE")]
    pub(crate) originator: Option<PathBuf>,
    /// Sign it (BEP 35) with this RSA key, in PEM or DER
    #[arg(long, value_name = "FILE", requires = "sign_certificate")]
    pub(crate) sign_key: Option<PathBuf>,
    /// The certificate of that key, X.509 in PEM or DER
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    pub(crate) sign_certificate: Option<PathBuf>,
    /// Free text to put into it
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// One JSON object that says what was made
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct InspectArgs {
    /// A torrent file or a magnet link
    #[arg(value_name = "TORRENT|MAGNET")]
    pub(crate) torrent: String,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct VerifyArgs {
    /// A torrent file
    pub(crate) torrent: PathBuf,
    /// The folder that holds the files: what `download -o` would be given
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// One JSON object: `complete`, `missing` as a list of `offset` and `length` (0: an empty file), and the `files` it is of
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct TrackerArgs {
    /// Serve HTTP here; may be given again, as all addresses [default, if none of any kind is given: 0.0.0.0:6969]
    #[arg(long, value_name = "ADDR", value_parser = rate::address)]
    pub(crate) http: Vec<SocketAddr>,
    /// Serve UDP here [default, if none of any kind is given: 0.0.0.0:6969]
    #[arg(long, value_name = "ADDR", value_parser = rate::address)]
    pub(crate) udp: Vec<SocketAddr>,
    /// Serve WebSockets here, for browsers (WebTorrent)
    #[arg(long, value_name = "ADDR", value_parser = rate::address)]
    pub(crate) ws: Vec<SocketAddr>,
    /// Serve statistics here, over HTTP: /stats.json, /metrics for Prometheus, /events; not for the open Internet
    #[arg(long, value_name = "ADDR", value_parser = rate::address)]
    pub(crate) stats: Vec<SocketAddr>,
    /// Threads that share the torrents [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,
    /// Serve only the torrents in this file: an info-hash a line, v1 or v2, in hexadecimal digits; SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub(crate) allow: Option<PathBuf>,
    /// Don't serve the torrents in this file; likewise
    #[arg(long, value_name = "FILE")]
    pub(crate) deny: Option<PathBuf>,
    /// Keep torrents and peers here over a restart; saved every five minutes and at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Seconds between a peer's announces; who is silent for twice as long is forgotten
    #[arg(long, value_name = "S", default_value_t = 1800, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub(crate) interval: u32,
    /// Torrents held at the most; each worker has an equal share of the limit
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) max_torrents: usize,
    /// Peers held at the most; about 40 bytes each over IPv4, 55 over IPv6
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    pub(crate) max_peers: usize,
    /// Peers of one IPv4 address or IPv6 /64 in a torrent
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) max_peers_per_source: usize,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Args::command().debug_assert();
    }
}
