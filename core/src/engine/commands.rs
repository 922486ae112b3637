//! Commands: what an application wants, carried out or refused with a reason.

use super::{Command, CommandError, Engine, Event, Rates, Reply, Seat};
use crate::base::{Instant, TorrentId};
use crate::torrent::{AddTorrent, Context, Torrent};
use crate::wire::tracker_url::TrackerUrl;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Engine {
    /// Carries out a command.
    pub fn command(&mut self, now: Instant, command: Command) -> Result<Reply, CommandError> {
        let now = self.advance(now);
        let reply = self.carry_out(now, command);
        self.settle(now);
        reply
    }

    fn carry_out(&mut self, now: Instant, command: Command) -> Result<Reply, CommandError> {
        match command {
            Command::Add(add) => return self.add(now, *add).map(Reply::Added),
            Command::Remove(id) => self.tell(now, id, |torrent, cx| torrent.leave(cx))?,
            Command::Pause(id) => self.tell(now, id, |torrent, cx| torrent.pause(cx))?,
            Command::Resume(id) => self.tell(now, id, |torrent, cx| torrent.resume(cx))?,
            Command::Recheck(id) => self.tell(now, id, |torrent, cx| torrent.recheck(cx))?,
            Command::Select(id, selection) => {
                self.tell(now, id, |torrent, cx| torrent.select(cx, &selection))?
                    .map_err(CommandError::NoFile)?;
            }
            Command::Priorities(id, priorities) => {
                self.tell(now, id, |torrent, cx| torrent.set_priorities(cx, &priorities))?
                    .map_err(CommandError::NoFile)?;
            }
            Command::Sequential(id, on) => self.tell(now, id, |torrent, _| torrent.set_sequential(on))?,
            Command::Deadline { torrent, start, length, by } => {
                if !self.tell(now, torrent, |torrent, cx| torrent.set_deadline(cx, start, length, by))? {
                    return Err(CommandError::Range);
                }
            }
            Command::Peers(id, addrs) => self.tell(now, id, |torrent, cx| torrent.add_peers(cx, &addrs))?,
            Command::Disconnect { torrent, peer, ban } => {
                if !self.tell(now, torrent, |torrent, cx| torrent.disconnect(cx, peer, ban))? {
                    return Err(CommandError::NoPeer(peer));
                }
            }
            Command::Trackers(id, tiers) => {
                let seat = self.torrents.get(id.0).ok_or(CommandError::NoTorrent(id))?;
                let known = |url: &str| seat.torrent.has_tracker(url);
                let tiers = tracker_tiers(&tiers, self.host.announce.trackers_max, known)?;
                self.tell(now, id, |torrent, cx| torrent.set_trackers(cx, &tiers))?;
            }
            Command::WebSeeds(id, urls) => {
                self.tell(now, id, |torrent, cx| torrent.add_web_seeds(cx, &urls))?;
            }
            Command::Announce(id) => {
                self.tell(now, id, |torrent, cx| torrent.announce_now(cx))?;
                #[cfg(feature = "dht")]
                self.with_finder(now, |finder| finder.on_hurry(now, id));
            }
            Command::CheckUpdate(id) => self.tell(now, id, |torrent, cx| torrent.check_update(cx))?,
            Command::Scrape(id) => self.tell(now, id, |torrent, cx| torrent.scrape(cx))?,
            Command::TorrentRates(id, rates) => {
                self.tell(now, id, |torrent, cx| torrent.set_rates(cx, rates))?
            }
            Command::Rates(rates) => self.set_rates(now, rates),
            Command::IpFilter(filter) => self.set_filter(now, filter),
            Command::Save(id) => self.tell(now, id, |torrent, cx| torrent.save(cx))?,
            Command::Stop { by } => self.stop(now, by),
            #[cfg(feature = "dht")]
            Command::Dht(command) => return self.on_dht_command(now, *command),
        }
        Ok(Reply::Done)
    }

    fn tell<R>(
        &mut self,
        now: Instant,
        id: TorrentId,
        call: impl FnOnce(&mut Torrent, &mut Context<'_>) -> R,
    ) -> Result<R, CommandError> {
        self.with(now, id, call).ok_or(CommandError::NoTorrent(id))
    }

    fn set_rates(&mut self, now: Instant, rates: Rates) {
        self.config.rates = rates;
        self.gate.set(now, rates);
    }

    fn add(&mut self, now: Instant, mut add: AddTorrent) -> Result<TorrentId, CommandError> {
        if self.stopping.is_some() {
            return Err(CommandError::Stopping);
        }
        if self.torrents.len() >= self.config.torrents_max {
            return Err(CommandError::TooMany(self.torrents.len()));
        }
        let names = add.source.names();
        if let Some(id) = names.iter().find_map(|name| self.find(*name)) {
            return Err(CommandError::Duplicate(id));
        }
        if let Some(tiers) = &mut add.trackers {
            let known = |url: &str| add.source.names_tracker(url);
            *tiers = tracker_tiers(tiers, self.host.announce.trackers_max, known)?;
        }
        if self.folder != add.folder {
            self.folder = add.folder;
        }
        add.folder = Arc::clone(&self.folder);
        let rng = &self.rng;
        let (config, host) = (&self.config, &self.host);
        let id = TorrentId(self.torrents.insert_with(|n| {
            let torrent = Torrent::new(TorrentId(n), add, config, host, rng.fork_at("torrent", n));
            Seat {
                torrent,
                armed: None,
                told_neighbours: 0,
                #[cfg(feature = "dht")]
                found_by_dht: false,
            }
        }));
        // Resume data may know more names than a magnet link.
        let known = self.torrents.get(id.0).map_or(Vec::new(), |seat| seat.torrent.names().to_vec());
        for name in names.into_iter().chain(known) {
            if self.routes.get(&name).is_none() {
                self.insert_route(name, id);
            }
        }
        self.with(now, id, |torrent, cx| torrent.start(cx));
        Ok(id)
    }

    #[cfg_attr(not(feature = "dht"), allow(unused_variables))]
    pub(super) fn on_bound(
        &mut self,
        now: Instant,
        local: crate::base::LocalId,
        (addr, kind): (core::net::SocketAddr, super::SocketKind),
    ) {
        self.sockets.insert(local, (addr, kind));
        self.map_port(local, addr, kind);
        self.heed_carrier();
        match kind {
            super::SocketKind::TcpListener => {
                self.learn_ports();
                self.news.push(Event::Listening(local, addr));
            }
            super::SocketKind::Udp | super::SocketKind::UdpAssociate(_) => {
                let relayed = kind != super::SocketKind::Udp;
                if relayed {
                    self.net.on_relay(local, addr);
                    self.drain_net(now);
                } else {
                    self.net.on_bound(local, addr);
                }
                #[cfg(feature = "dht")]
                self.with_finder(now, |finder| {
                    if relayed { finder.on_relay(now, local) } else { finder.on_bound(now, local, addr) }
                });
            }
            super::SocketKind::Multicast => self.neighbours.on_bound(local, addr),
        }
    }

    pub(super) fn on_unbound(&mut self, now: Instant, local: crate::base::LocalId) {
        self.on_utp_unbound(now, local);
        self.sockets.remove(&local);
        #[cfg(feature = "dht")]
        self.with_finder(now, |finder| finder.on_unbound(now, local));
        self.net.on_unbound(local);
        self.neighbours.on_unbound(local);
        self.unmap_port(local);
        self.learn_ports();
    }

    /// What we announce is what is bound.
    fn learn_ports(&mut self) {
        let listeners = self.sockets.iter().filter(|(_, (_, kind))| *kind == super::SocketKind::TcpListener);
        let listening = listeners.map(|(&local, &(addr, _))| (local, addr)).collect();
        self.host.on_listening(listening);
    }
}

/// The trackers that an application names, once each, without empty tiers. What can't be asked is refused, unless the torrent
/// has it already: it is nobody's fault here, and is shown as what it is.
fn tracker_tiers(
    tiers: &[Vec<String>],
    max: usize,
    known: impl Fn(&str) -> bool,
) -> Result<Vec<Vec<String>>, CommandError> {
    let mut named: Vec<&str> = Vec::new();
    let mut kept = Vec::new();
    for tier in tiers {
        let first = named.len();
        for url in tier.iter().map(|url| url.trim()) {
            if let Err(error) = TrackerUrl::parse(url)
                && !known(url)
            {
                return Err(CommandError::Tracker { url: url.into(), error });
            }
            if named.contains(&url) {
                continue;
            }
            if named.len() >= max {
                return Err(CommandError::TooManyTrackers(max));
            }
            named.push(url);
        }
        let tier = named.get(first..).unwrap_or_default();
        if !tier.is_empty() {
            kept.push(tier.iter().map(|&url| url.into()).collect());
        }
    }
    Ok(kept)
}
