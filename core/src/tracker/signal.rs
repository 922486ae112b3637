//! The tracker over WebSockets: announces of sockets in, replies and others' offers out, answers back to who offered. A
//! socket is a number that the driver gives and never gives again. It owns no socket and no JSON.

use super::roster::{Found, Row};
use super::swarm::{Put, SOCKET};
use super::swarms::put_fault;
use super::{Fault, Protocol, Refusal, Tracker};
use crate::base::Instant;
use crate::wire::tracker::{SwarmCounts, TrackerEvent};
use crate::wire::tracker_ws::{OfferId, Relayed, SignalAnnounce, SignalAnnounced, SignalAnswer, SignalReply};
use crate::wire::{InfoHash, PeerId};
use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::net::IpAddr;

/// A message for a socket.
pub type Outgoing = (u64, SignalReply);

/// The peer of `socket` announces: it is told the counts, and each of its offers goes to another peer, for a seed to
/// leeches alone. A peer id that another socket has is refused until that one is closed. `source` is where the socket
/// comes from: it has a share of all torrents.
pub fn announce(
    now: Instant,
    tracker: &mut Tracker,
    (socket, source): (u64, IpAddr),
    announce: SignalAnnounce,
) -> Vec<Outgoing> {
    let (hash, event) = (announce.query.info_hash, announce.query.event);
    match put(now, tracker, (socket, source), &announce) {
        Ok((place, put)) => {
            let mut out = Vec::with_capacity(1 + announce.offers.len());
            out.push((socket, announced(tracker, hash)));
            let at = match put {
                Some(Put::At { at, .. }) => Some(at),
                Some(Put::Full | Put::SourceFull | Put::IdTaken) | None => None,
            };
            if place.is_some() && event != TrackerEvent::Stopped {
                hand_out(tracker, announce, at, &mut out);
            }
            let statistics = tracker.statistics_mut();
            statistics.announces += 1;
            let statistics = statistics.protocol_mut(Protocol::WebSocket);
            statistics.announced(event);
            statistics.relayed += out.len() as u64 - 1;
            if let Some(fault) = put_fault(put) {
                statistics.fault(fault);
            }
            out
        }
        Err(refusal) => {
            tracker.statistics_mut().protocol_mut(Protocol::WebSocket).fault(refusal.fault());
            let reason = refusal.to_string().into_boxed_str();
            Vec::from([(socket, SignalReply::Failed { info_hash: Some(hash), reason })])
        }
    }
}

type Placed = (Option<u32>, Option<Put>);

fn put(
    now: Instant,
    tracker: &mut Tracker,
    (socket, source): (u64, IpAddr),
    announce: &SignalAnnounce,
) -> Result<Placed, Refusal> {
    let query = &announce.query;
    let stopped = query.event == TrackerEvent::Stopped;
    let Some(place) = tracker.place(&query.info_hash, (!stopped).then_some(source))? else {
        return Ok((None, None));
    };
    let addr: [u8; SOCKET] = socket.to_be_bytes();
    let put = tracker.change(now, place, |swarm, key, room, stamp| {
        if stopped {
            swarm.leave_socket(key, &addr);
            return None;
        }
        let row = Row { addr, id: query.peer_id, seed: query.left == Some(0), stamp };
        Some(swarm.put_socket(key, row, room))
    });
    if put == Some(Put::IdTaken) {
        return Err(Refusal::IdTaken);
    }
    if let Some(Put::At { completed: true, .. }) = put
        && query.event == TrackerEvent::Completed
    {
        tracker.completed(place);
    }
    Ok((Some(place), put))
}

fn announced(tracker: &mut Tracker, info_hash: InfoHash) -> SignalReply {
    let interval_s = tracker.config.signal_interval_s;
    let counts = tracker.swarm_mut(&info_hash).map_or(SwarmCounts::default(), |(_, swarm, _)| swarm.counts());
    SignalReply::Announced(Box::new(SignalAnnounced {
        info_hash,
        complete: Some(counts.complete),
        incomplete: Some(counts.incomplete),
        interval_s,
        min_interval_s: None,
        tracker_id: None,
        warning: None,
    }))
}

fn hand_out(tracker: &mut Tracker, announce: SignalAnnounce, at: Option<usize>, out: &mut Vec<Outgoing>) {
    let (info_hash, peer_id) = (announce.query.info_hash, announce.query.peer_id);
    let (chance, offers_max) = (tracker.rng.next_u64(), tracker.config.offers_per_socket_max);
    let Some((_, swarm, _)) = tracker.swarm_mut(&info_hash) else { return };
    let Some(sockets) = &swarm.sockets else { return };
    let runs = sockets.draw(chance, at, announce.query.left == Some(0), announce.offers.len());
    let to: Vec<[u8; SOCKET]> = runs.rows().map(|(&socket, _)| socket).collect();
    for (socket, offer) in to.into_iter().zip(announce.offers) {
        swarm.offer(socket, peer_id, offer.id, offers_max);
        let relayed = Relayed { info_hash, peer_id, offer_id: offer.id, sdp: offer.sdp };
        out.push((u64::from_be_bytes(socket), SignalReply::Offer(Box::new(relayed))));
    }
}

/// The peer of `socket` answers an offer: what goes to who offered. Only an offer that this socket was handed is answered,
/// and once; who doesn't announce can't answer in another's name.
pub fn answer(tracker: &mut Tracker, socket: u64, answer: SignalAnswer) -> Option<Outgoing> {
    let SignalAnswer { info_hash, peer_id, to, offer_id, sdp } = answer;
    let found = route(tracker, socket, (&info_hash, peer_id), (to, offer_id));
    let statistics = tracker.statistics_mut().protocol_mut(Protocol::WebSocket);
    match found {
        Some(to) => {
            statistics.relayed += 1;
            Some((to, SignalReply::Answer(Box::new(Relayed { info_hash, peer_id, offer_id, sdp }))))
        }
        None => {
            statistics.fault(Fault::NobodyThere);
            None
        }
    }
}

fn route(
    tracker: &mut Tracker,
    socket: u64,
    (hash, from): (&InfoHash, PeerId),
    (to, offer_id): (PeerId, OfferId),
) -> Option<u64> {
    let key = tracker.key;
    let (_, swarm, _) = tracker.swarm_mut(hash)?;
    let sockets = swarm.sockets.as_ref()?;
    let socket: [u8; SOCKET] = socket.to_be_bytes();
    let Found::At(at) = sockets.find(&key, &socket) else { return None };
    if sockets.row(at).id != from || !swarm.take_offer(&socket, to, offer_id) {
        return None;
    }
    swarm.socket_of(&key, to).map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::TrackerConfig;
    use crate::wire::tracker::AnnounceQuery;
    use crate::wire::tracker_ws::Offer;
    use core::net::Ipv4Addr;

    const HASH: InfoHash = InfoHash([1; 20]);
    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn tracker() -> Tracker {
        Tracker::new(TrackerConfig::default(), [7; 32])
    }

    fn from(peer: u8, left: u64, offers: u8) -> SignalAnnounce {
        let query = AnnounceQuery {
            info_hash: HASH,
            peer_id: PeerId([peer; 20]),
            port: 0,
            uploaded: 0,
            downloaded: 0,
            left: Some(left),
            event: TrackerEvent::Started,
            numwant: None,
            key: 0,
        };
        let offers = (0..offers).map(|n| Offer { id: OfferId([n; 20]), sdp: "v=0".into() });
        SignalAnnounce { query, tracker_id: None, offers: offers.collect() }
    }

    fn say(tracker: &mut Tracker, socket: u64, peer: u8, left: u64, offers: u8) -> Vec<Outgoing> {
        announce(Instant::ZERO, tracker, (socket, HOME), from(peer, left, offers))
    }

    fn sockets(out: &[Outgoing]) -> Vec<u64> {
        let mut sockets: Vec<u64> = out.iter().map(|(socket, _)| *socket).collect();
        sockets.sort_unstable();
        sockets
    }

    #[test]
    fn each_offer_goes_to_another_peer_and_its_answer_back() {
        let mut tracker = tracker();
        for n in 1..=5 {
            assert_eq!(sockets(&say(&mut tracker, n, n as u8, 9, 0)), [n]);
        }
        let out = say(&mut tracker, 9, 9, 9, 10);
        assert_eq!(sockets(&out), [1, 2, 3, 4, 5, 9]);
        let (to, SignalReply::Offer(offer)) = &out[1] else { panic!() };
        assert_eq!((offer.info_hash, offer.peer_id), (HASH, PeerId([9; 20])));
        let reply = SignalAnswer {
            info_hash: HASH,
            peer_id: PeerId([*to as u8; 20]),
            to: offer.peer_id,
            offer_id: offer.offer_id,
            sdp: "a".into(),
        };
        let Some((9, SignalReply::Answer(got))) = answer(&mut tracker, *to, reply.clone()) else { panic!() };
        assert_eq!((got.peer_id, got.offer_id, &*got.sdp), (reply.peer_id, offer.offer_id, "a"));
        assert_eq!(answer(&mut tracker, *to % 5 + 1, reply.clone()), None, "in another's name");
        assert_eq!(answer(&mut tracker, 77, reply.clone()), None, "from outside");
        let to_nobody = SignalAnswer { to: PeerId([99; 20]), ..reply };
        assert_eq!(answer(&mut tracker, *to, to_nobody), None);
        let statistics = tracker.statistics().protocol(Protocol::WebSocket);
        assert_eq!((statistics.relayed, statistics.faults[Fault::NobodyThere as usize]), (6, 3));
    }

    fn reply_to(socket: u64, offer: &Relayed) -> SignalAnswer {
        let (to, offer_id) = (offer.peer_id, offer.offer_id);
        SignalAnswer { info_hash: HASH, peer_id: PeerId([socket as u8; 20]), to, offer_id, sdp: "a".into() }
    }

    #[test]
    fn a_peer_id_that_an_open_socket_has_is_refused_to_another() {
        let mut tracker = tracker();
        say(&mut tracker, 1, 1, 9, 0);
        let thief = say(&mut tracker, 2, 1, 9, 5);
        assert!(matches!(&thief[..], [(2, SignalReply::Failed { info_hash: Some(HASH), .. })]), "{thief:?}");
        assert_eq!(sockets(&say(&mut tracker, 3, 3, 9, 1)), [1, 3], "the first goes on being handed offers");
        let statistics = tracker.statistics();
        assert_eq!(statistics.protocol(Protocol::WebSocket).faults[Fault::IdTaken as usize], 1);
        tracker.on_socket_closed(Instant::ZERO, 2, &HASH);
        assert_eq!(tracker.statistics().peers, 2, "who was refused takes nobody along");
    }

    #[test]
    fn only_an_offer_that_was_handed_over_is_answered_and_once() {
        let mut tracker = tracker();
        say(&mut tracker, 1, 1, 9, 0);
        say(&mut tracker, 2, 2, 9, 0);
        let out = say(&mut tracker, 9, 9, 9, 1);
        let (to, SignalReply::Offer(offer)) = &out[1] else { panic!() };
        let other = 3 - *to;
        assert_eq!(answer(&mut tracker, other, reply_to(other, offer)), None, "it was handed to another");
        let unasked = Relayed { offer_id: OfferId([77; 20]), ..(**offer).clone() };
        assert_eq!(answer(&mut tracker, *to, reply_to(*to, &unasked)), None, "there is no such offer");
        assert!(answer(&mut tracker, *to, reply_to(*to, offer)).is_some());
        assert_eq!(answer(&mut tracker, *to, reply_to(*to, offer)), None, "it is answered");
    }

    #[test]
    fn of_more_offers_than_the_limit_the_latest_can_be_answered() {
        let config = TrackerConfig { offers_per_socket_max: 2, ..TrackerConfig::default() };
        let mut tracker = Tracker::new(config, [7; 32]);
        say(&mut tracker, 1, 1, 9, 0);
        let offers: Vec<Relayed> = (2..5)
            .flat_map(|n| say(&mut tracker, n, n as u8, 0, 1))
            .filter_map(|(_, reply)| if let SignalReply::Offer(offer) = reply { Some(*offer) } else { None })
            .collect();
        let answered = offers.iter().map(|offer| answer(&mut tracker, 1, reply_to(1, offer)).is_some());
        assert_eq!(answered.collect::<Vec<_>>(), [false, true, true]);
        // What a socket was handed goes with it.
        let again = say(&mut tracker, 2, 2, 0, 1);
        let (1, SignalReply::Offer(offer)) = &again[1] else { panic!() };
        tracker.on_socket_closed(Instant::ZERO, 1, &HASH);
        say(&mut tracker, 1, 1, 9, 0);
        assert_eq!(answer(&mut tracker, 1, reply_to(1, offer)), None);
    }

    #[test]
    fn a_seeds_offers_go_to_leeches_alone() {
        let mut tracker = tracker();
        say(&mut tracker, 1, 1, 0, 0);
        say(&mut tracker, 2, 2, 9, 0);
        assert_eq!(sockets(&say(&mut tracker, 3, 3, 0, 10)), [2, 3]);
        assert_eq!(sockets(&say(&mut tracker, 4, 4, 9, 10)), [1, 2, 3, 4]);
    }

    #[test]
    fn a_closed_socket_has_left_and_who_reconnects_is_there_once() {
        let mut tracker = tracker();
        say(&mut tracker, 1, 1, 9, 0);
        tracker.on_socket_closed(Instant::ZERO, 1, &HASH);
        say(&mut tracker, 2, 1, 9, 0);
        assert_eq!((tracker.statistics().leeches, tracker.statistics().peers), (1, 1));
        assert_eq!(sockets(&say(&mut tracker, 3, 3, 9, 1)), [2, 3]);
        tracker.on_socket_closed(Instant::ZERO, 1, &HASH);
        tracker.on_socket_closed(Instant::ZERO, 2, &HASH);
        assert_eq!(tracker.statistics().leeches, 1);
        let stop = from(3, 9, 3);
        let stop =
            SignalAnnounce { query: AnnounceQuery { event: TrackerEvent::Stopped, ..stop.query }, ..stop };
        assert_eq!(sockets(&announce(Instant::ZERO, &mut tracker, (3, HOME), stop)), [3]);
        assert_eq!((tracker.statistics().torrents, tracker.deadline()), (0, None));
    }

    #[test]
    fn a_refusal_names_the_torrent_and_browsers_count_with_the_rest() {
        let mut tracker =
            Tracker::new(TrackerConfig { torrents_max: 1, ..TrackerConfig::default() }, [7; 32]);
        let query = AnnounceQuery { port: 5, ..from(8, 0, 0).query };
        tracker.on_announce(Instant::ZERO, &query, "192.0.2.1:5".parse().unwrap()).unwrap();
        let (_, SignalReply::Announced(told)) = &say(&mut tracker, 1, 1, 9, 0)[0] else { panic!() };
        assert_eq!((told.complete, told.incomplete, told.interval_s), (Some(1), Some(1), 120));
        let mut other = from(1, 9, 0);
        other.query.info_hash = InfoHash([2; 20]);
        let out = announce(Instant::ZERO, &mut tracker, (1, HOME), other);
        assert!(
            matches!(&out[..], [(1, SignalReply::Failed { info_hash: Some(InfoHash(hash)), .. })] if hash == &[2; 20])
        );
    }

    #[test]
    fn a_browser_that_is_silent_for_twice_the_interval_is_forgotten() {
        let mut tracker = tracker();
        say(&mut tracker, 1, 1, 9, 0);
        tracker.on_timeout(tracker.deadline().unwrap());
        assert_eq!(tracker.statistics().peers, 0);
    }
}
