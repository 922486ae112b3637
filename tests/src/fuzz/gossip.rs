//! What peers and neighbours say of others: exchanges of peers, multicast announces, rendezvous.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream_core::base::{Instant, Rng, TorrentId};
use millstream_core::lsd::{Lsd, LsdConfig};
use millstream_core::pex::{Pex, PexConfig};
use millstream_core::wire::InfoHash;
use millstream_core::wire::holepunch::HolepunchMessage;
use millstream_core::wire::lsd::{LSD_BYTES_MAX, LSD_GROUP_V4, LsdAnnounce};
use millstream_core::wire::pex::{PexFlags, PexMessage};
use std::collections::BTreeSet;

/// A PEX message is written again alike, within the bound; and a swarm, whose events the bytes are: bounds and pace hold
/// whatever happens, and nobody is added twice or dropped without having been added.
pub fn pex(data: &[u8]) {
    if let Ok(message) = PexMessage::parse(data, 50) {
        assert!(message.added.len() <= 100 && message.dropped.len() <= 100, "the bound of each list holds");
        let again = PexMessage::parse(&message.encode(), 100).expect("ours can be read");
        assert_eq!((again.added.len(), again.dropped.len()), (message.added.len(), message.dropped.len()));
    }
    let config = PexConfig { told_max: 12, gone_max: 8, ..PexConfig::default() };
    let mut pex = Pex::new(config.clone());
    let mut now = Instant::ZERO;
    let mut known: [BTreeSet<SocketAddr>; 4] = Default::default();
    let mut last = [None; 4];
    for (n, pair) in data.chunks(2).enumerate() {
        let (what, which) = (pair[0], u32::from(*pair.last().unwrap_or(&0)));
        let peer = 100 + n as u32;
        let addr = SocketAddr::from(([198, 51, 100, (which % 32) as u8], 6881));
        match what % 5 {
            0 => pex.on_joined(now, peer, addr, PexFlags(what)),
            1 => pex.on_left(now, 100 + which % (n as u32 + 1), what & 8 != 0),
            2 => pex.on_speaks(now, which % 4, true),
            3 => now += Duration::from_secs(u64::from(which)),
            _ => {
                let teller = (which % 4, IpAddr::from(Ipv4Addr::new(198, 51, 100, 9)));
                if let Ok(believed) = pex.on_message(now, teller, data, 7) {
                    assert!(believed.len() <= 7, "no more than there is room for");
                }
            }
        }
        while let Some((to, message)) = pex.next_message(now) {
            let (known, last) = (&mut known[to as usize], &mut last[to as usize]);
            assert!(!message.is_empty() && message.added.len() <= 100 && message.dropped.len() <= 50);
            let soon = |before: Instant| now < before + Duration::from_millis(config.interval_ms);
            assert!(!last.is_some_and(soon), "once a minute");
            *last = Some(now);
            for addr in &message.dropped {
                assert!(known.remove(addr), "who is dropped was added");
            }
            for peer in &message.added {
                assert!(!message.dropped.contains(&peer.addr), "not added and dropped at once");
                known.insert(peer.addr);
            }
        }
    }
}

/// A multicast announce, and what a node makes of it: what is read is written again alike, and stays within a datagram.
pub fn lsd(data: &[u8]) {
    let mut lsd = Lsd::new(LsdConfig::default(), &mut Rng::new([3; 32]));
    lsd.on_torrent(Instant::ZERO, TorrentId(1), vec![InfoHash([1; 20])]);
    let from = SocketAddr::from(([192, 168, 1, 7], 6771));
    let heard = lsd.on_datagram(Instant::ZERO, from, &[], data);
    let Ok(announce) = LsdAnnounce::parse(data) else {
        assert!(heard.is_err(), "garbage is no neighbour");
        return;
    };
    assert!(data.len() <= LSD_BYTES_MAX && announce.port != 0 && !announce.info_hashes.is_empty());
    if let Ok(neighbour) = heard {
        assert_eq!((neighbour.addr.port(), neighbour.addr.ip()), (announce.port, from.ip()));
    }
    let written = announce.encode(LSD_GROUP_V4);
    let again = LsdAnnounce::parse(&written).expect("ours can be read");
    let few = announce.info_hashes.iter().take(again.info_hashes.len());
    assert!(
        again.port == announce.port && few.eq(again.info_hashes.iter()),
        "what is read is what was written"
    );
}

/// A holepunch message: what is read is written again alike.
pub fn holepunch(data: &[u8]) {
    let Ok(message) = HolepunchMessage::parse(data) else { return };
    assert_eq!(HolepunchMessage::parse(&message.encode()), Ok(message));
}
