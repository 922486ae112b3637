//! Networks to download in: fair ones, and such as are behind a router whose table of entries is small.

/// What a full table does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    DropsNew,
    EvictsOldest,
}

/// A place to download at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) router: Option<(usize, Full)>,
    /// How long the router keeps the entry of a connection that ended, seconds.
    pub(super) keeps_s: u64,
    pub(super) swarms: usize,
    /// Addresses in each swarm, and how many of a hundred are dead.
    pub(super) addresses: u64,
    pub(super) dead: u64,
    /// Bytes a second: of the downlink, and of each peer (up to twice of it).
    pub(super) downlink: u64,
    pub(super) peer_rate: u64,
    /// Bytes of each torrent.
    pub(super) bytes: u64,
    /// Milliseconds, least and most.
    pub(super) latency_ms: (u64, u64),
    /// A full downlink makes opening slower by so much.
    pub(super) bloat_ms: u64,
    /// First packets lost on the way, of a hundred.
    pub(super) losses: u64,
    /// How long a connection lasts before the other side ends it or the air breaks it, seconds on average; and how many
    /// of a hundred such ends are breaks.
    pub(super) life_s: u64,
    pub(super) breaks: u64,
    /// A peer lets a newcomer wait for so long before it gives, seconds; up to twice of it.
    pub(super) warm_up_s: u64,
}

const STRONG: Place = Place {
    name: "strong network",
    router: None,
    keeps_s: 120,
    swarms: 1,
    addresses: 600,
    dead: 40,
    downlink: 25_000_000,
    peer_rate: 60_000,
    bytes: 4_000_000_000,
    latency_ms: (20, 250),
    bloat_ms: 0,
    losses: 0,
    life_s: 1_800,
    breaks: 20,
    warm_up_s: 20,
};

/// Without a weak router.
pub(super) fn fair_places() -> [Place; 9] {
    [
        STRONG,
        Place { name: "lossy Wi-Fi", losses: 8, life_s: 240, breaks: 90, ..STRONG },
        Place { name: "full downlink", downlink: 4_000_000, bytes: 2_000_000_000, ..STRONG },
        Place {
            name: "full downlink, ten large swarms",
            swarms: 10,
            addresses: 1_200,
            downlink: 4_000_000,
            bytes: 250_000_000,
            ..STRONG
        },
        Place { name: "85 % dead addresses", dead: 85, addresses: 1_500, ..STRONG },
        Place {
            name: "slow line with a deep queue",
            downlink: 700_000,
            peer_rate: 20_000,
            bytes: 400_000_000,
            bloat_ms: 2_500,
            dead: 70,
            ..STRONG
        },
        Place {
            name: "small swarm on a LAN",
            addresses: 8,
            dead: 0,
            downlink: 110_000_000,
            peer_rate: 20_000_000,
            bytes: 20_000_000_000,
            latency_ms: (1, 2),
            warm_up_s: 1,
            ..STRONG
        },
        Place { name: "many torrents", swarms: 40, addresses: 60, dead: 60, bytes: 150_000_000, ..STRONG },
        Place { name: "sources that get worse", dead: 101, addresses: 1_500, ..STRONG },
    ]
}

impl Place {
    pub(super) fn evicts(&self) -> bool {
        self.router.is_some_and(|(_, full)| full == Full::EvictsOldest)
    }
}

/// Behind a table of 200 entries; and of a hundred parts of the time that fixed bounds take, how many the adaptive pool
/// may take. A full table that drops new ones serves who knocks most: fixed bounds have nearly all of it, and with less
/// of it a download is at best about as fast, which is to say within 5 %.
pub(super) fn weak_places() -> [(Place, u32); 4] {
    let dropping = Some((200, Full::DropsNew));
    let evicting = Some((200, Full::EvictsOldest));
    let large = Place { bytes: 8_000_000_000, ..STRONG };
    let stale = Place { dead: 85, addresses: 1_500, ..STRONG };
    [
        (Place { name: "200 entries, evicts", router: evicting, ..large }, 96),
        (Place { name: "200 entries, evicts, 85 % dead", router: evicting, ..stale }, 50),
        (Place { name: "200 entries, drops new", router: dropping, life_s: 400, ..large }, 105),
        (
            Place {
                name: "200 entries, drops new, 85 % dead",
                router: dropping,
                life_s: 400,
                bytes: 8_000_000_000,
                ..stale
            },
            105,
        ),
    ]
}
