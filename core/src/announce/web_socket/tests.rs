//! Torrents that share a tracker's socket.

use super::*;
use crate::wire::PeerId;
use crate::wire::tracker_ws::{OfferId, SignalRequest, read_request, write_reply};
use alloc::format;
use alloc::vec;

const URL: &str = "wss://tracker.test/";

struct World {
    sockets: WebSockets,
    now: Instant,
}

fn hash(n: u8) -> InfoHash {
    InfoHash([n; 20])
}

fn ask(n: u32) -> AskId {
    AskId { serial: n, tracker: 0, lane: 1 }
}

impl World {
    fn new(change: impl FnOnce(&mut AnnounceConfig)) -> Self {
        let mut config = AnnounceConfig::default();
        change(&mut config);
        Self { sockets: WebSockets::new(Rng::new([8; 32]), Arc::new(config)), now: Instant::ZERO }
    }

    fn announce_to(&mut self, url: &str, n: u8, event: TrackerEvent) {
        let query = AnnounceQuery {
            info_hash: hash(n),
            peer_id: PeerId([7; 20]),
            port: 0,
            uploaded: 0,
            downloaded: 0,
            left: None,
            event,
            numwant: None,
            key: 0,
        };
        let what = WsWhat::Announce { query, tracker_id: None, offers: vec![] };
        let ws = WsAsk { url: url.into(), what };
        self.sockets.on_ask(self.now, TorrentId(n.into()), Some(ask(n.into())), ws);
    }

    fn announce(&mut self, n: u8) {
        self.announce_to(URL, n, TrackerEvent::Started);
    }

    fn outputs(&mut self) -> Vec<WsOutput> {
        core::iter::from_fn(|| self.sockets.next_output()).collect()
    }

    fn opened(&mut self) -> SocketId {
        let outputs = self.outputs();
        let [WsOutput::Open(id, _)] = outputs[..] else { panic!("{outputs:?}") };
        self.sockets.on_open(id);
        id
    }

    fn sent(&mut self, id: SocketId) -> Vec<SignalRequest> {
        core::iter::from_fn(|| self.sockets.next_message(id))
            .map(|text| read_request(&text).unwrap())
            .collect()
    }

    fn tell(&mut self, id: SocketId, reply: &SignalReply) {
        self.sockets.on_message(self.now, id, write_reply(reply).as_bytes());
    }

    fn announced(&mut self, id: SocketId, n: u8, complete: u32) {
        let announced = SignalAnnounced {
            info_hash: hash(n),
            complete: Some(complete),
            incomplete: Some(1),
            interval_s: 120,
            min_interval_s: None,
            tracker_id: None,
            warning: None,
        };
        self.tell(id, &SignalReply::Announced(Box::new(announced)));
    }
}

fn answers(outputs: &[WsOutput]) -> Vec<(u64, Result<Option<u32>, AskError>)> {
    let answer = |output: &WsOutput| {
        let WsOutput::Answered(torrent, _, answer) = output else { return None };
        Some((torrent.0, answer.as_ref().map(|answer| answer.complete).map_err(AskError::clone)))
    };
    outputs.iter().filter_map(answer).collect()
}

#[test]
fn two_torrents_share_a_socket_and_answers_find_theirs_by_info_hash() {
    let mut world = World::new(|_| ());
    world.announce(1);
    world.announce(2);
    let id = world.opened();
    assert_eq!(world.sent(id).len(), 2);
    world.outputs();
    world.announced(id, 2, 20);
    world.announced(id, 1, 10);
    world.announced(id, 1, 11);
    let outputs = world.outputs();
    assert_eq!(answers(&outputs), [(2, Ok(Some(20))), (1, Ok(Some(10)))], "what nobody asked is nobody's");
    world.announce(1);
    assert_eq!(world.outputs(), [WsOutput::Ready(id)], "the same socket again");
}

#[test]
fn left_is_a_number_before_the_metadata_is_known_since_null_counts_as_a_seed() {
    let mut world = World::new(|_| ());
    world.announce(1);
    let id = world.opened();
    let SignalRequest::Announce(announce) = world.sent(id).remove(0) else { panic!("no announce") };
    assert!(announce.query.left.is_some_and(|left| left > 0));
    assert!(announce.offers.is_empty());
}

#[test]
fn a_socket_that_breaks_fails_its_questions_and_is_left_alone_ever_longer() {
    let mut world = World::new(|_| ());
    let mut pauses = vec![];
    for _ in 0..4 {
        world.announce(1);
        let outputs = world.outputs();
        let [WsOutput::Open(id, _)] = outputs[..] else { panic!("{outputs:?}") };
        world.sockets.on_closed(world.now, id, "nobody listens there");
        assert_eq!(answers(&world.outputs()).len(), 1);
        world.announce(2);
        let refused = world.outputs();
        assert!(matches!(answers(&refused)[..], [(2, Err(AskError::Unreachable(_)))]), "{refused:?}");
        let until = world.sockets.broken[URL].not_before;
        pauses.push(until.saturating_since(world.now));
        world.now = until;
    }
    assert!(pauses.is_sorted() && pauses[3] >= 4 * pauses[0], "{pauses:?}");
    world.announce(1);
    let id = world.opened();
    assert!(world.sockets.broken.is_empty(), "an open socket forgives");
    world.sockets.on_closed(world.now, id, "it ended");
    assert_eq!(world.sockets.broken[URL].failures, 1);
}

#[test]
fn silence_is_a_time_out() {
    let mut world = World::new(|_| ());
    world.announce(1);
    let id = world.opened();
    world.sent(id);
    world.outputs();
    world.now = world.sockets.deadline().unwrap();
    world.sockets.on_timeout(world.now);
    assert_eq!(answers(&world.outputs()), [(1, Err(AskError::TimedOut))]);
    assert_eq!(world.sockets.deadline(), None);
}

#[test]
fn a_socket_stays_for_those_who_announce_and_closes_after_the_last_stopped() {
    let mut world = World::new(|_| ());
    world.announce(1);
    let id = world.opened();
    world.sent(id);
    world.announced(id, 1, 0);
    assert!(!world.outputs().contains(&WsOutput::Close(id)));
    world.announce_to(URL, 1, TrackerEvent::Stopped);
    world.sent(id);
    assert!(!world.outputs().contains(&WsOutput::Close(id)), "the answer is awaited");
    world.announced(id, 1, 0);
    assert!(world.outputs().contains(&WsOutput::Close(id)));
    world.announce(3);
    let other = world.opened();
    world.sockets.on_torrent_gone(TorrentId(3));
    world.sent(other);
    assert!(world.outputs().contains(&WsOutput::Close(other)));
}

#[test]
fn a_socket_that_never_opened_is_given_up_with_the_last_torrent_that_wanted_it() {
    let mut world = World::new(|_| ());
    world.announce(1);
    world.announce(2);
    let [WsOutput::Open(id, _)] = world.outputs()[..] else { panic!("one socket") };
    world.sockets.on_torrent_gone(TorrentId(1));
    assert_eq!(world.outputs(), []);
    world.sockets.on_torrent_gone(TorrentId(2));
    assert_eq!(world.outputs(), [WsOutput::Close(id)]);
}

#[test]
fn a_scrape_is_answered_by_the_larger_counts_and_refusals_by_their_reason() {
    let mut world = World::new(|_| ());
    let what = WsWhat::Scrape([hash(1), hash(2)].into());
    let ws = WsAsk { url: URL.into(), what };
    world.sockets.on_ask(world.now, TorrentId(1), None, ws);
    let id = world.opened();
    assert!(matches!(world.sent(id)[..], [SignalRequest::Scrape(_)]));
    let counts = |complete| SwarmCounts { complete, downloaded: 0, incomplete: 1 };
    world.tell(
        id,
        &SignalReply::Scraped(vec![(hash(1), counts(3)), (hash(2), counts(5)), (hash(9), counts(99))]),
    );
    assert!(world.outputs().contains(&WsOutput::Scraped(TorrentId(1), Ok(counts(5)))));
    world.announce(4);
    let id = world.opened();
    world.tell(id, &SignalReply::Failed { info_hash: Some(hash(4)), reason: "not here".into() });
    let outputs = world.outputs();
    let (_, Err(error)) = &answers(&outputs)[0] else { panic!("{outputs:?}") };
    assert_eq!(format!("{error}"), "the tracker refuses: not here");
}

#[test]
fn offers_are_handed_up_and_garbage_costs_the_tracker_its_socket() {
    let mut world = World::new(|_| ());
    world.announce(1);
    let id = world.opened();
    let offer = Relayed {
        info_hash: hash(1),
        peer_id: PeerId([9; 20]),
        offer_id: OfferId([3; 20]),
        sdp: String::from("v=0"),
    };
    world.tell(id, &SignalReply::Offer(Box::new(offer.clone())));
    assert!(world.outputs().contains(&WsOutput::Offered(id, Box::new(offer))));
    world.sockets.on_message(world.now, id, b"[1,2");
    let outputs = world.outputs();
    assert!(outputs.contains(&WsOutput::Close(id)) && answers(&outputs)[0].1.is_err(), "{outputs:?}");
}

#[test]
fn sockets_are_bounded() {
    let mut world = World::new(|config| config.ws_sockets_max = 2);
    for n in 1..=3 {
        world.announce_to(&format!("ws://{n}.test"), n, TrackerEvent::Started);
    }
    let outputs = world.outputs();
    assert!(matches!(answers(&outputs)[..], [(3, Err(AskError::Unreachable(_)))]), "{outputs:?}");
    assert_eq!(world.sockets.refused(), 1);
}
