//! The DHT at work for torrents: when each is looked up and announced, which torrents are followed by key (BEP 46), when
//! the table is worth saving. The node itself is `dht`; the sockets' names stand here, as all of `net`'s do.

use crate::base::{Instant, LocalId, Rng, TorrentId};
use crate::dht::{
    Busy, Cost, DhtConfig, DhtStatus, Event, Family, Item, LookupId, Node, Outcome, SavedError,
};
use crate::wire::InfoHash;
use crate::wire::ip_filter::IpFilter;
use crate::wire::krpc::{NodeId, followed_torrent, mutable_target};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// How often a torrent is looked up and announced.
const ANNOUNCE: Duration = Duration::from_secs(15 * 60);

/// The first pause after a look-up that found nobody, where somebody is missed; each is twice as long as the one before.
const NOBODY: Duration = Duration::from_secs(30);

/// How often a followed key is asked for; what was found is put again then, so that it lives (BEP 44, BEP 46).
const FOLLOW: Duration = Duration::from_secs(30 * 60);

/// Keys followed at once. Each costs two look-ups an interval.
const FOLLOWS_MAX: usize = 256;

/// How often the table is handed out to be saved.
const SAVE: Duration = Duration::from_secs(15 * 60);

/// What a torrent wants of the DHT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhtWish {
    /// Its hashes: both of a hybrid.
    pub hashes: Vec<InfoHash>,
    /// Where peers reach us; `None` if they can't: then it is only looked up.
    pub port: Option<u16>,
    /// All of it is here (BEP 33).
    pub seed: bool,
}

/// What a [`Finder`] wants done.
#[derive(Debug)]
pub enum FinderOutput {
    /// Look a name up, and come with `on_resolved`.
    Resolve {
        /// The name.
        host: String,
        /// The port to put into the addresses.
        port: u16,
    },
    /// Datagrams wait at this socket.
    Ready(LocalId),
    /// It is a torrent's turn: come with `on_wish`.
    Due(TorrentId),
    /// Peers of a torrent were found.
    Peers(TorrentId, Vec<SocketAddr>),
    /// News of a look-up that the application began.
    News(Event),
    /// A followed key names another torrent than before (BEP 46).
    Followed(Followed),
    /// Save this, to be restored next time.
    Save(Vec<u8>),
}

/// What a followed key says (BEP 46).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The publisher's public key.
    pub key: [u8; 32],
    /// The salt; empty if there is none.
    pub salt: Vec<u8>,
    /// The version.
    pub seq: i64,
    /// The torrent that it names.
    pub info_hash: InfoHash,
}

/// Who began a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Torrent(TorrentId),
    Application,
    /// A followed key: its target.
    Follow(NodeId),
    /// It puts again what was found.
    Republish,
}

/// One torrent's turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Instant,
    /// Look-ups of it under way.
    under_way: u32,
    found: usize,
    /// How often nobody was found, in a row.
    misses: u32,
    seed: bool,
}

/// A followed key.
#[derive(Debug)]
struct Follow {
    key: [u8; 32],
    salt: Vec<u8>,
    due: Instant,
    best: Option<Item>,
    under_way: bool,
}

/// A node, and whom it works for.
#[derive(Debug)]
pub struct Finder {
    node: Node,
    locals: [Option<(LocalId, u16)>; 2],
    /// The sockets are a proxy's relay: nobody reaches our node there.
    relayed: bool,
    joined: bool,
    turns: BTreeMap<TorrentId, Turn>,
    due: BTreeSet<(Instant, TorrentId)>,
    lookups: BTreeMap<LookupId, Asker>,
    follows: BTreeMap<NodeId, Follow>,
    save_at: Option<Instant>,
    lookups_max: usize,
    outputs: VecDeque<FinderOutput>,
}

impl Finder {
    /// A node without sockets.
    pub fn new(now: Instant, config: DhtConfig, rng: Rng) -> Self {
        Self {
            // Half of the look-ups are left to the application.
            lookups_max: (config.lookups_max / 2).max(1),
            node: Node::new(config, rng, now),
            locals: [None, None],
            relayed: false,
            joined: false,
            turns: BTreeMap::new(),
            due: BTreeSet::new(),
            lookups: BTreeMap::new(),
            follows: BTreeMap::new(),
            save_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// A UDP socket is there. The first of each family is the node's: one address, one id (BEP 45).
    pub fn on_bound(&mut self, now: Instant, local: LocalId, addr: SocketAddr) {
        let family = Family::of(&addr);
        if self.locals[index(family)].is_none() {
            self.locals[index(family)] = Some((local, addr.port()));
            self.node.on_bound(now, family);
            self.pump(now);
        }
    }

    /// A proxy relays our datagrams: one socket for both families.
    pub fn on_relay(&mut self, now: Instant, local: LocalId) {
        self.relayed = true;
        for family in Family::ALL {
            self.locals[index(family)] = Some((local, 0));
            self.node.on_bound(now, family);
        }
        self.pump(now);
    }

    /// The filter of addresses is another.
    pub fn on_filter(&mut self, now: Instant, filter: Option<Arc<IpFilter>>) {
        self.node.on_filter(now, filter);
        self.pump(now);
    }

    /// It is gone.
    pub fn on_unbound(&mut self, now: Instant, local: LocalId) {
        for family in Family::ALL {
            if self.locals[index(family)].is_some_and(|(bound, _)| bound == local) {
                self.locals[index(family)] = None;
                self.node.on_unbound(now, family);
            }
        }
        self.pump(now);
    }

    /// The ports of our node, IPv4 then IPv6, for PORT messages (BEP 5, BEP 32).
    pub fn ports(&self) -> [Option<u16>; 2] {
        self.locals.map(|local| local.filter(|_| !self.relayed).map(|(_, port)| port))
    }

    /// A datagram that may be KRPC came.
    pub fn on_datagram(&mut self, now: Instant, local: LocalId, from: SocketAddr, bytes: &[u8]) {
        let ours = self.locals[index(Family::of(&from))].is_some_and(|(bound, _)| bound == local);
        if ours {
            self.node.on_datagram(now, from, bytes);
            self.pump(now);
        }
    }

    /// The next datagram to send from a socket.
    pub fn next_datagram(&mut self, local: LocalId) -> Option<(SocketAddr, Vec<u8>)> {
        let here = |family: &Family| self.locals[index(*family)].is_some_and(|(bound, _)| bound == local);
        Family::ALL.into_iter().filter(here).find_map(|family| self.node.next_datagram(family))
    }

    /// A name was looked up; no addresses if it couldn't be.
    pub fn on_resolved(&mut self, now: Instant, addrs: &[SocketAddr]) {
        self.node.on_resolved(now, addrs);
        self.pump(now);
    }

    /// Peers say that there is a node at this address (BEP 5's PORT).
    pub fn on_node(&mut self, now: Instant, addr: SocketAddr) {
        self.node.on_node(now, addr);
        self.pump(now);
    }

    /// A torrent wants to be found by the DHT, or doesn't any more.
    pub fn on_torrent(&mut self, now: Instant, id: TorrentId, wants: bool) {
        if wants {
            let turn = Turn { due: now, under_way: 0, found: 0, misses: 0, seed: false };
            self.turns.entry(id).or_insert(turn);
            self.due.insert((now, id));
        } else if let Some(turn) = self.turns.remove(&id) {
            self.due.remove(&(turn.due, id));
            let node = &mut self.node;
            self.lookups.retain(|lookup, asker| {
                let its = *asker == Asker::Torrent(id);
                if its {
                    node.cancel(*lookup);
                }
                !its
            });
        }
        self.pump(now);
    }

    /// A torrent wants to be looked up before its turn.
    pub fn on_hurry(&mut self, now: Instant, id: TorrentId) {
        if let Some(turn) = self.turns.get_mut(&id).filter(|turn| turn.under_way == 0 && turn.due > now) {
            self.due.remove(&(turn.due, id));
            turn.due = now;
            self.due.insert((now, id));
            self.pump(now);
        }
    }

    /// A torrent whose turn it is says what it wants.
    pub fn on_wish(&mut self, now: Instant, id: TorrentId, wish: &DhtWish) {
        for &hash in &wish.hashes {
            let begun = match wish.port {
                Some(port) => self.node.announce(now, hash, Some(port), wish.seed),
                None => self.node.get_peers(now, hash),
            };
            if let (Ok(lookup), Some(turn)) = (begun, self.turns.get_mut(&id)) {
                turn.under_way += 1;
                turn.seed = wish.seed;
                self.lookups.insert(lookup, Asker::Torrent(id));
            }
        }
        if let Some(turn) = self.turns.get_mut(&id).filter(|turn| turn.under_way == 0) {
            turn.due = now + NOBODY;
            self.due.insert((turn.due, id));
        }
        self.pump(now);
    }

    /// A look-up for the application; its events come as news.
    pub fn on_asked<E>(
        &mut self,
        now: Instant,
        ask: impl FnOnce(&mut Node, Instant) -> Result<LookupId, E>,
    ) -> Result<LookupId, E> {
        let lookup = ask(&mut self.node, now)?;
        self.lookups.insert(lookup, Asker::Application);
        self.pump(now);
        Ok(lookup)
    }

    /// Ends a look-up of the application's unheard.
    pub fn cancel(&mut self, lookup: LookupId) {
        if self.lookups.get(&lookup) == Some(&Asker::Application) {
            self.lookups.remove(&lookup);
            self.node.cancel(lookup);
        }
    }

    /// Follows a key (BEP 46): what it names is told at once when it is found, and whenever it changes.
    pub fn follow(&mut self, now: Instant, key: [u8; 32], salt: Vec<u8>) -> Result<(), Busy> {
        if self.follows.len() >= FOLLOWS_MAX {
            return Err(Busy(FOLLOWS_MAX));
        }
        let target = mutable_target(&key, &salt);
        let follow = Follow { key, salt, due: now, best: None, under_way: false };
        self.follows.entry(target).or_insert(follow);
        self.pump(now);
        Ok(())
    }

    /// Follows a key no more.
    pub fn unfollow(&mut self, key: &[u8; 32], salt: &[u8]) {
        self.follows.remove(&mutable_target(key, salt));
    }

    /// Takes the table of last time; an error leaves all as it is.
    pub fn restore(&mut self, now: Instant, bytes: &[u8]) -> Result<usize, SavedError> {
        let restored = self.node.restore(now, bytes);
        self.pump(now);
        restored
    }

    /// The table, to be restored next time.
    pub fn save(&self) -> Vec<u8> {
        self.node.save()
    }

    /// How the node is.
    pub fn status(&self, now: Instant) -> DhtStatus {
        self.node.status(now)
    }

    /// Time passed.
    pub fn on_timeout(&mut self, now: Instant) {
        self.node.on_timeout(now);
        self.pump(now);
    }

    /// When `on_timeout` is due.
    pub fn deadline(&self) -> Option<Instant> {
        let turn = self.due.first().map(|(at, _)| *at).filter(|_| self.has_room());
        let follow = self.follows.values().filter(|follow| !follow.under_way).map(|follow| follow.due).min();
        let joined = [turn, follow, self.save_at].into_iter().flatten().filter(|_| self.joined);
        self.node.deadline().into_iter().chain(joined).min()
    }

    /// The next thing to do.
    pub fn next_output(&mut self) -> Option<FinderOutput> {
        self.outputs.pop_front()
    }

    fn has_room(&self) -> bool {
        self.lookups.len() < self.lookups_max
    }

    /// Carries what the node tells to whom it concerns, and gives turns.
    fn pump(&mut self, now: Instant) {
        loop {
            while let Some(event) = self.node.next_event() {
                self.on_event(now, event);
            }
            if !self.joined {
                break;
            }
            self.give_turns(now);
            self.look_after_follows(now);
            if self.save_at.is_some_and(|at| at <= now) {
                self.save_at = Some(now + SAVE);
                self.outputs.push_back(FinderOutput::Save(self.node.save()));
            }
            // A look-up that had nobody to ask is over at once.
            let Some(event) = self.node.next_event() else { break };
            self.on_event(now, event);
        }
        for family in Family::ALL {
            if let Some((local, _)) = self.locals[index(family)].filter(|_| self.node.has_datagrams(family)) {
                self.outputs.push_back(FinderOutput::Ready(local));
            }
        }
    }

    fn give_turns(&mut self, now: Instant) {
        let mut room = self.lookups_max.saturating_sub(self.lookups.len());
        while let Some(&(at, id)) = self.due.first().filter(|_| room > 0) {
            if at > now {
                return;
            }
            self.due.pop_first();
            room -= 1;
            if let Some(turn) = self.turns.get_mut(&id) {
                turn.found = 0;
                self.outputs.push_back(FinderOutput::Due(id));
            }
        }
    }

    fn look_after_follows(&mut self, now: Instant) {
        for (&target, follow) in &mut self.follows {
            if follow.due > now || follow.under_way {
                continue;
            }
            match self.node.get(now, target, &follow.salt, None) {
                Ok(lookup) => {
                    follow.under_way = true;
                    self.lookups.insert(lookup, Asker::Follow(target));
                }
                Err(Busy(_)) => follow.due = now + NOBODY,
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Resolve { host, port } => self.outputs.push_back(FinderOutput::Resolve { host, port }),
            Event::Joined(_) => {
                self.joined = true;
                self.save_at.get_or_insert(now + SAVE / 15);
            }
            Event::External(_) => {}
            Event::Peers { lookup, ref peers } => match self.lookups.get(&lookup) {
                Some(&Asker::Torrent(id)) => {
                    if let Some(turn) = self.turns.get_mut(&id) {
                        turn.found += peers.len();
                    }
                    self.outputs.push_back(FinderOutput::Peers(id, peers.clone()));
                }
                Some(Asker::Application) => self.outputs.push_back(FinderOutput::News(event)),
                Some(Asker::Follow(_) | Asker::Republish) | None => {}
            },
            Event::Item { lookup, .. } | Event::Samples { lookup, .. } => {
                if self.lookups.get(&lookup) == Some(&Asker::Application) {
                    self.outputs.push_back(FinderOutput::News(event));
                }
            }
            Event::Done { lookup, outcome, cost } => self.on_over(now, lookup, outcome, cost),
        }
    }

    fn on_over(&mut self, now: Instant, lookup: LookupId, outcome: Outcome, cost: Cost) {
        match self.lookups.remove(&lookup) {
            Some(Asker::Torrent(id)) => self.on_turn_over(now, id),
            Some(Asker::Application) => {
                self.outputs.push_back(FinderOutput::News(Event::Done { lookup, outcome, cost }));
            }
            Some(Asker::Follow(target)) => {
                if let Outcome::Got(item) = outcome {
                    self.on_followed(now, target, item);
                }
            }
            Some(Asker::Republish) | None => {}
        }
    }

    fn on_turn_over(&mut self, now: Instant, id: TorrentId) {
        let Some(turn) = self.turns.get_mut(&id) else { return };
        turn.under_way = turn.under_way.saturating_sub(1);
        if turn.under_way > 0 {
            return;
        }
        let lonely = turn.found == 0 && !turn.seed;
        turn.misses = if lonely { turn.misses.saturating_add(1) } else { 0 };
        let pause = NOBODY.saturating_mul(1 << turn.misses.saturating_sub(1).min(10)).min(ANNOUNCE);
        turn.due = now + if lonely { pause } else { ANNOUNCE };
        self.due.insert((turn.due, id));
    }

    fn on_followed(&mut self, now: Instant, target: NodeId, found: Option<Item>) {
        let Some(follow) = self.follows.get_mut(&target) else { return };
        follow.under_way = false;
        follow.due = now + if follow.best.is_none() && found.is_none() { NOBODY * 2 } else { FOLLOW };
        let newer = found.filter(|item| follow.best.as_ref().is_none_or(|best| item.seq() > best.seq()));
        if let Some(item) = newer {
            if let (Some(info_hash), Some(seq)) = (followed_torrent(item.value()), item.seq()) {
                let followed = Followed { key: follow.key, salt: follow.salt.clone(), seq, info_hash };
                self.outputs.push_back(FinderOutput::Followed(followed));
            }
            follow.best = Some(item);
        }
        // Whoever follows keeps it alive: the signature is repeated, no secret is needed.
        if let Some(Ok(lookup)) = follow.best.clone().map(|item| self.node.put(now, item, None)) {
            self.lookups.insert(lookup, Asker::Republish);
        }
    }
}

const fn index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}
