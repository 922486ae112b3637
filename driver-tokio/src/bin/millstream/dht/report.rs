//! What `millstream dht` says: results on stdout, one line or one JSON object each.

use super::args::{GetArgs, hex};
use crate::outcome::Trouble;
use crate::ui::{self, text};
use core::net::{IpAddr, SocketAddr};
use millstream::core::base::is_public;
use millstream::core::dht::{Cost, Event, Item, Outcome};
use millstream::core::wire::Document;
use serde::Serialize;

/// One line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum News {
    Listening {
        address: SocketAddr,
    },
    Key {
        public_key: String,
    },
    Peer {
        address: SocketAddr,
    },
    Sample {
        info_hash: String,
        from: SocketAddr,
    },
    Item {
        target: String,
        /// The bencoded value in hex.
        bencoded: String,
        /// The string that it is, if it is one in UTF-8.
        text: Option<String>,
        public_key: Option<String>,
        salt: Option<String>,
        seq: Option<i64>,
        #[serde(flatten)]
        cost: Took,
    },
    Peers {
        found: usize,
        #[serde(flatten)]
        cost: Took,
    },
    Announced {
        stored: u32,
        failed: u32,
        #[serde(flatten)]
        cost: Took,
    },
    Scraped {
        seeds: u32,
        peers: u32,
        answers_with_counts: u32,
        #[serde(flatten)]
        cost: Took,
    },
    Put {
        target: String,
        public_key: Option<String>,
        seq: Option<i64>,
        stored: u32,
        #[serde(flatten)]
        cost: Took,
    },
    Sampled {
        nodes: u32,
        samples: usize,
        #[serde(flatten)]
        cost: Took,
    },
}

/// What a look-up took.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Took {
    hops: u32,
    queries: u32,
    answers: u32,
    timeouts: u32,
    elapsed_ms: u64,
}

impl Took {
    fn of(cost: Cost) -> Self {
        let Cost { hops, queries, answers, timeouts, elapsed } = cost;
        Self { hops, queries, answers, timeouts, elapsed_ms: elapsed.as_millis() as u64 }
    }
}

impl News {
    fn text(&self) -> String {
        match self {
            Self::Listening { address } => format!("listening at {address}"),
            Self::Key { public_key } => format!("public key: {public_key}"),
            Self::Peer { address } => address.to_string(),
            Self::Sample { info_hash, .. } => info_hash.clone(),
            Self::Item { bencoded, .. } => bencoded.clone(),
            Self::Peers { found, cost } => {
                format!("{} ({})", text::count(*found as u64, "peer"), cost.text())
            }
            Self::Announced { stored, cost, .. } => {
                format!("announced to {} ({})", nodes(*stored), cost.text())
            }
            Self::Scraped { seeds, peers, answers_with_counts, cost } => format!(
                "about {} and {}, by the word of {} ({})",
                text::count(u64::from(*seeds), "seed"),
                text::count(u64::from(*peers), "other"),
                nodes(*answers_with_counts),
                cost.text()
            ),
            Self::Put { target, public_key, seq, stored, cost } => {
                let owner = public_key.as_ref().map_or_else(String::new, |key| {
                    format!("\npublic key: {key}\nsequence number: {}", seq.unwrap_or_default())
                });
                format!("target: {target}{owner}\nstored at {} ({})", nodes(*stored), cost.text())
            }
            Self::Sampled { nodes: asked, samples, cost } => {
                let samples = text::count(*samples as u64, "sample");
                format!("{samples} of {} ({})", nodes(*asked), cost.text())
            }
        }
    }
}

impl Took {
    fn text(self) -> String {
        let Self { hops, queries, answers, elapsed_ms, .. } = self;
        let (queries, hops) = (text::queries(queries), text::count(u64::from(hops), "hop"));
        format!("{answers} of {queries} answered, {hops}, {elapsed_ms} ms")
    }
}

/// So many nodes, in words.
pub(super) fn nodes(n: u32) -> String {
    text::count(u64::from(n), "node")
}

/// Says it.
pub(super) fn say(json: bool, news: &News) {
    if json {
        ui::json(news);
    } else {
        news.text().lines().for_each(ui::line);
    }
}

/// What a look-up found on its way.
pub(super) fn found(json: bool, event: &Event) {
    match event {
        Event::Peers { peers, .. } => {
            peers.iter().for_each(|&address| say(json, &News::Peer { address }));
        }
        Event::Samples { samples, from, .. } => samples
            .iter()
            .for_each(|hash| say(json, &News::Sample { info_hash: hash.to_string(), from: *from })),
        Event::Item { .. }
        | Event::Resolve { .. }
        | Event::Done { .. }
        | Event::Joined(_)
        | Event::External(_) => {}
    }
}

/// How a look-up ended, and whether that is a failure.
pub(super) fn outcome(json: bool, outcome: &Outcome, cost: Cost) -> Result<(), Trouble> {
    let (answers, took) = (cost.answers, Took::of(cost));
    let (news, failure) = match *outcome {
        Outcome::Peers { found } => {
            (News::Peers { found, cost: took }, (found == 0).then(|| "no peers are known".to_owned()))
        }
        Outcome::Announced { stored, failed, .. } => {
            let none = (stored == 0).then(|| "no node took the announce".to_owned());
            (News::Announced { stored, failed, cost: took }, none)
        }
        Outcome::Scraped { seeds, peers, answers } => {
            (News::Scraped { seeds, peers, answers_with_counts: answers, cost: took }, None)
        }
        Outcome::Sampled { nodes, samples } => {
            let none = (samples == 0).then(|| "no node told a sample".to_owned());
            (News::Sampled { nodes, samples, cost: took }, none)
        }
        Outcome::Nodes(_) | Outcome::Got(_) | Outcome::Put { .. } => return Ok(()),
    };
    if json || failure.is_none() {
        say(json, &news);
    }
    failure.map_or(Ok(()), |why| Err(Trouble::failed(format!("{why}; {} answered", nodes(answers)))))
}

/// An item that was found. On its own, a string's bytes go out as they are.
pub(super) fn item(args: &GetArgs, item: &Item, cost: Cost) {
    let value = item.value();
    let string: Option<Vec<u8>> =
        Document::decode(value).ok().and_then(|document| document.root().as_bytes().map(<[u8]>::to_vec));
    if !args.lookup.entry.json {
        match string.filter(|_| !args.bencoded) {
            Some(bytes) => ui::bytes(&bytes),
            None => ui::bytes(value),
        }
        return;
    }
    let (public_key, salt) = match item {
        Item::Immutable { .. } => (None, None),
        Item::Mutable(item) => (Some(hex(&item.key)), Some(String::from_utf8_lossy(&item.salt).into_owned())),
    };
    ui::json(&News::Item {
        target: item.target().to_string(),
        bencoded: hex(value),
        text: string.and_then(|bytes| String::from_utf8(bytes).ok()),
        public_key,
        salt,
        seq: item.seq(),
        cost: Took::of(cost),
    });
}

/// What became of an item that was to be stored.
pub(super) fn put(json: bool, item: &Item, outcome: &Outcome, cost: Cost) -> Result<(), Trouble> {
    let Outcome::Put { stored, refused, seq_before } = outcome else { return Ok(()) };
    let public_key = if let Item::Mutable(item) = item { Some(hex(&item.key)) } else { None };
    let target = item.target().to_string();
    if *stored > 0 {
        let (stored, seq, cost) = (*stored, item.seq(), Took::of(cost));
        say(json, &News::Put { target, public_key, seq, stored, cost });
        return Ok(());
    }
    let found = seq_before.map_or_else(String::new, |seq| format!("; sequence number {seq} is stored"));
    let codes: Vec<String> = refused.iter().map(|(code, n)| format!("{n} with code {code}")).collect();
    let codes = if codes.is_empty() { "nobody was asked".to_owned() } else { codes.join(", ") };
    Err(Trouble::failed(format!("no node took it: refused by {codes}{found}")))
}

/// Whether an address is of a host's or a network's own.
pub(super) fn is_private(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !is_public(ip)
}
