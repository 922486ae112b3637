//! What the bytes of a fuzz input spell: numbers, torrents, messages. It calls no engine.

use crate::world::Content;
use core::net::{IpAddr, SocketAddr};
use millstream_core::engine::{DhtCommand, Rates};
use millstream_core::wire::InfoHash;
use millstream_core::wire::ip_filter::IpFilter;
use millstream_core::wire::krpc::NodeId;
use millstream_core::wire::message::{HashRange, Message, RawBlock};
use millstream_core::wire::metainfo::Version;
use std::sync::OnceLock;

/// The bytes that spell the operations.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl Script<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.byte() & 1 == 0
    }

    pub(crate) fn number(&mut self) -> u32 {
        u32::from_be_bytes([0, 0, self.byte(), self.byte()])
    }

    /// Small numbers mostly, all of 32 bits at times.
    pub(crate) fn wild(&mut self) -> u32 {
        match self.byte() {
            255 => u32::MAX - u32::from(self.byte()),
            254 => self.number() << 16 | self.number(),
            small => u32::from(small) % 12,
        }
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let n = usize::from(self.byte());
        all.get(n.checked_rem(all.len())?)
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let n = usize::from(self.byte()).min(self.0.len());
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        head.to_vec()
    }
}

/// Small torrents of each version.
pub(super) fn contents() -> &'static [Content; 3] {
    static CONTENTS: OnceLock<[Content; 3]> = OnceLock::new();
    CONTENTS.get_or_init(|| {
        let files = [("a", 70_000), ("b", 0), ("c", 20_000)];
        [Version::V1, Version::V2, Version::Hybrid].map(|version| Content::new(9, version, &files, 32 << 10))
    })
}

pub(super) fn rates(script: &mut Script<'_>) -> Rates {
    let mut rate = || Some(u64::from(script.number())).filter(|rate| rate % 4 > 0);
    Rates { download: rate(), upload: rate() }
}

/// A filter of one range of addresses, some of whom the script lets call.
pub(super) fn filter(script: &mut Script<'_>) -> IpFilter {
    let (low, high) = (script.byte(), script.byte());
    let addr = |last| IpAddr::from([72, 1, 1, last]);
    IpFilter::from_ranges([(addr(low.min(high)), addr(low.max(high)))])
}

/// One wish of the DHT.
pub(super) fn trackers(script: &mut Script<'_>) -> Vec<Vec<String>> {
    let url = |n: u8| match n % 4 {
        0 => format!("http://73.4.4.{n}/announce"),
        1 => format!("udp://73.4.4.{n}:80"),
        2 => format!("wss://t{n}.example"),
        _ => "http://tracker0.example/announce".to_owned(),
    };
    script.bytes().chunks(2).map(|tier| tier.iter().map(|&n| url(n)).collect()).collect()
}

pub(super) fn dht(script: &mut Script<'_>) -> DhtCommand {
    let (info_hash, target) = (InfoHash([script.byte(); 20]), NodeId([script.byte(); 20]));
    let (key, salt) = ([script.byte() % 4; 32], vec![script.byte() % 2]);
    match script.byte() % 10 {
        0 => DhtCommand::GetPeers(info_hash),
        1 => DhtCommand::Announce { info_hash, port: Some(1), seed: script.coin() },
        2 => DhtCommand::Scrape(info_hash),
        3 => DhtCommand::Get { target, salt: script.bytes(), newer_than: None },
        4 => DhtCommand::Sample(target),
        5 => DhtCommand::FindNode(target),
        6 => DhtCommand::Node(SocketAddr::from(([72, 1, 2, script.byte()], 6881))),
        7 => DhtCommand::Follow { key, salt },
        8 => DhtCommand::Unfollow { key, salt },
        _ => DhtCommand::Restore(script.bytes()),
    }
}

/// One message of any kind, its numbers mostly small.
pub(super) fn message(script: &mut Script<'_>) -> Vec<u8> {
    let kind = script.byte() % 24;
    let block = RawBlock { index: script.wild() % 5, begin: (script.wild() % 3) << 14, length: 16 << 10 };
    let payload = if matches!(kind, 5 | 7 | 20..=22) { script.bytes() } else { Vec::new() };
    let range = HashRange {
        pieces_root: contents()[1].info().files()[0].pieces_root.unwrap_or_default(),
        base_layer: script.wild() % 4,
        index: script.wild(),
        length: 2 << (script.byte() % 4),
        proof_layers: script.wild(),
    };
    let honest;
    let message = match kind {
        0 => Message::Choke,
        1 => Message::Unchoke,
        2 => Message::Interested,
        3 => Message::NotInterested,
        4 => Message::Have(block.index),
        5 => Message::Bitfield(&payload),
        6 => Message::Request(block),
        7 | 19 => {
            let content = &contents()[0];
            honest = match content.info().geometry().piece(block.index) {
                Some(piece) => {
                    let length = content.info().geometry().length_of(piece);
                    let length = block.length.min(length.saturating_sub(block.begin));
                    content.block(piece, block.begin, length)
                }
                None => payload,
            };
            Message::Piece { index: block.index, begin: block.begin, data: &honest }
        }
        8 => Message::Cancel(block),
        9 => Message::Port(7),
        10 => Message::Suggest(block.index),
        11 | 17 | 18 => Message::HaveAll,
        12 => Message::HaveNone,
        13 => Message::Reject(block),
        14 => Message::AllowedFast(block.index),
        15 => Message::HashRequest(range),
        16 => Message::HashReject(range),
        20 => Message::Extended { id: 0, payload: b"d1:md11:ut_metadatai2ee13:metadata_sizei999ee" },
        21 => Message::Extended { id: (block.index % 8) as u8, payload: &payload },
        22 => Message::Hashes { range, hashes: &payload },
        _ => Message::KeepAlive,
    };
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}
