//! A session that announces to a tracker over a WebSocket, against a server of its own.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use core::net::Ipv4Addr;
use core::time::Duration;
use millstream::core::wire::PeerId;
use millstream::core::wire::tracker::{SwarmCounts, TrackerEvent};
use millstream::core::wire::tracker_ws::{
    OfferId, Relayed, SignalAnnounced, SignalReply, SignalRequest, read_request, write_reply,
};
use millstream::{AddTorrent, Session, SessionEvent, TorrentEvent};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use tokio_tungstenite::tungstenite::{self, Message};

/// What the server saw.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Link,
    Announce(TrackerEvent, usize),
    Scrape,
}

/// A tracker: counts for every announce, an offer from nobody. Its port.
fn tracker(seen: mpsc::Sender<Seen>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(mut socket) = tungstenite::accept(stream) else { continue };
            seen.send(Seen::Link).unwrap();
            while let Ok(message) = socket.read() {
                let Message::Text(text) = message else { continue };
                let replies = match read_request(&text).unwrap() {
                    SignalRequest::Announce(announce) => {
                        seen.send(Seen::Announce(announce.query.event, announce.offers.len())).unwrap();
                        let info_hash = announce.query.info_hash;
                        let offer = Relayed {
                            info_hash,
                            peer_id: PeerId([9; 20]),
                            offer_id: OfferId([3; 20]),
                            sdp: "v=0\r\n".to_owned(),
                        };
                        let announced = SignalAnnounced {
                            info_hash,
                            complete: Some(7),
                            incomplete: Some(3),
                            interval_s: 120,
                            min_interval_s: None,
                            tracker_id: None,
                            warning: None,
                        };
                        vec![SignalReply::Offer(Box::new(offer)), SignalReply::Announced(Box::new(announced))]
                    }
                    SignalRequest::Scrape(hashes) => {
                        seen.send(Seen::Scrape).unwrap();
                        let counts = SwarmCounts { complete: 8, downloaded: 5, incomplete: 4 };
                        vec![SignalReply::Scraped(hashes.into_iter().map(|hash| (hash, counts)).collect())]
                    }
                    SignalRequest::Answer(_) => panic!("nobody here can answer an offer"),
                };
                for reply in replies {
                    socket.send(Message::text(write_reply(&reply))).unwrap();
                }
            }
        }
    });
    port
}

async fn event<E: Clone + Send>(events: &mut millstream::Events<E>, mut wanted: impl FnMut(&E) -> bool) -> E {
    let seek = async {
        loop {
            let event = events.next().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seek).await.expect("it comes in time")
}

#[tokio::test]
async fn two_torrents_share_a_socket_get_counts_and_say_when_they_stop() {
    let (sender, seen) = mpsc::channel();
    let port = tracker(sender);
    let local = (Ipv4Addr::LOCALHOST, 0).into();
    let session =
        Session::builder().without_discovery().listen([local]).without_resume().start().await.unwrap();
    let mut torrents = Vec::new();
    for n in 1..=2 {
        let magnet = format!("magnet:?xt=urn:btih:{n:040}&tr=ws://127.0.0.1:{port}/announce");
        let torrent = session.add(AddTorrent::magnet(magnet).folder(std::env::temp_dir())).await.unwrap();
        let mut events = torrent.events();
        if torrent.trackers().await.first().is_none_or(|tracker| tracker.seeds.is_none()) {
            event(&mut events, |event| matches!(event, TorrentEvent::TrackerAnswered { .. })).await;
        }
        torrents.push((torrent, events));
    }
    for (torrent, _) in &torrents {
        let trackers = torrent.trackers().await;
        assert_eq!((trackers[0].seeds, trackers[0].leeches), (Some(7), Some(3)));
    }
    let (torrent, events) = &mut torrents[0];
    torrent.scrape().await.unwrap();
    let scraped = event(events, |event| matches!(event, TorrentEvent::Scraped { .. })).await;
    assert!(
        matches!(scraped, TorrentEvent::Scraped { seeds: 8, leeches: 4, downloaded: 5, .. }),
        "{scraped:?}"
    );
    session.shutdown(Duration::from_secs(5)).await;
    let seen: Vec<Seen> = seen.try_iter().collect();
    let announce = |event| Seen::Announce(event, 0);
    let expected = [
        Seen::Link,
        announce(TrackerEvent::Started),
        announce(TrackerEvent::Started),
        Seen::Scrape,
        announce(TrackerEvent::Stopped),
        announce(TrackerEvent::Stopped),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_tracker_beyond_the_bound_of_sockets_is_refused_with_a_reason_and_counted() {
    let (sender, seen) = mpsc::channel();
    let ports = [tracker(sender.clone()), tracker(sender)];
    let local = (Ipv4Addr::LOCALHOST, 0).into();
    let builder = Session::builder().without_discovery().listen([local]).without_resume();
    let session = builder.configure(|config| config.engine.tracker_sockets_max = 1).start().await.unwrap();
    // the session's own news: a torrent's reader comes when it may have been refused already
    let mut events = session.events();
    let (mut torrents, mut told) = (Vec::new(), Vec::new());
    for port in ports {
        let magnet = format!("magnet:?xt=urn:btih:{port:040}&tr=ws://127.0.0.1:{port}/announce");
        torrents.push(session.add(AddTorrent::magnet(magnet).folder(std::env::temp_dir())).await.unwrap());
        let of_trackers = |event: &SessionEvent| {
            let SessionEvent::Torrent(_, event) = event else { return false };
            matches!(event, TorrentEvent::TrackerAnswered { .. } | TorrentEvent::TrackerFailed { .. })
        };
        let SessionEvent::Torrent(_, news) = event(&mut events, of_trackers).await else { unreachable!() };
        told.push(news);
    }
    assert!(matches!(told[0], TorrentEvent::TrackerAnswered { .. }), "{told:?}");
    let TorrentEvent::TrackerFailed { error, .. } = &told[1] else { panic!("{told:?}") };
    assert!(error.contains("too many WebSockets"), "{error}");
    assert_eq!(session.statistics().await.unwrap().tracker_sockets_refused, 1);
    session.shutdown(Duration::from_secs(5)).await;
    let links = seen.try_iter().filter(|seen| *seen == Seen::Link).count();
    assert_eq!(links, 1);
}
