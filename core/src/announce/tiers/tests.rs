//! Stories of tiers, events and pauses.

use super::*;
use crate::announce::TrackerState;
use crate::wire::PeerId;
use crate::wire::tracker_http::{HttpAnswerError, RetryIn};
use std::string::{String, ToString as _};
use std::vec;

struct World {
    announce: Announce,
    now: Instant,
    rng: Rng,
    facts: Facts,
}

fn tiers(tiers: &[&[&str]]) -> Vec<Vec<Arc<str>>> {
    tiers.iter().map(|tier| tier.iter().map(|&url| Arc::from(url)).collect()).collect()
}

fn answer() -> AnnounceAnswer {
    AnnounceAnswer { interval_s: 1800, complete: Some(3), incomplete: Some(4), ..AnnounceAnswer::default() }
}

impl World {
    fn with(config: AnnounceConfig, urls: &[&[&str]], second_hash: Option<InfoHash>) -> Self {
        let mut rng = Rng::new([9; 32]);
        let identity = Identity { info_hash: InfoHash([b'a'; 20]), second_hash, peer_id: PeerId([b'p'; 20]) };
        let mut announce = Announce::new(Arc::new(config), &mut rng, identity, &tiers(urls));
        announce.on_start(Instant::ZERO);
        let facts = Facts { left: Some(5), port_v4: Some(6881), peers_wanted: 50, ..Facts::default() };
        Self { announce, now: Instant::ZERO, rng, facts }
    }

    fn new(urls: &[&[&str]]) -> Self {
        Self::with(AnnounceConfig::default(), urls, None)
    }

    fn asks(&mut self) -> Vec<Ask> {
        core::iter::from_fn(|| self.announce.next_ask(self.now, &self.facts)).collect()
    }

    /// The one ask there must be.
    fn ask(&mut self) -> (AskId, String) {
        let mut asks = self.asks();
        assert_eq!(asks.len(), 1);
        let ask = asks.remove(0);
        (ask.id, url(&ask))
    }

    fn reply(&mut self, id: AskId, answer: Result<AnnounceAnswer, AskError>) -> Answered {
        self.announce.on_answer(self.now, id, answer, &mut self.rng)
    }

    fn wait(&mut self) {
        self.now = self.announce.deadline().unwrap();
    }

    fn order(&self) -> Vec<String> {
        self.announce.trackers().map(|t| t.url.to_string()).collect()
    }
}

fn url(ask: &Ask) -> String {
    match &ask.what {
        AskWhat::Http { url } => url.clone(),
        AskWhat::Udp(ask) => match &ask.what {
            UdpWhat::Announce(query) => std::format!("udp {} {:?}", ask.host, query.event),
            UdpWhat::Scrape(hashes) => std::format!("udp {} scrape of {}", ask.host, hashes.len()),
        },
        AskWhat::WebSocket(ask) => ask.url.to_string(),
    }
}

fn seconds(from: Instant, to: Instant) -> u64 {
    to.saturating_since(from).as_secs()
}

#[test]
fn bep_0003_started_then_regular_then_completed_once_then_stopped() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (id, url) = w.ask();
    assert!(url.ends_with("&event=started"));
    w.reply(id, Ok(answer()));
    assert!(w.asks().is_empty());
    w.wait();
    let due = seconds(Instant::ZERO, w.now);
    assert!((1800..=1890).contains(&due), "{due}");
    let (id, url) = w.ask();
    assert!(!url.contains("&event"));
    w.reply(id, Ok(answer()));
    w.announce.on_completed(w.now);
    let (id, url) = w.ask();
    assert!(url.ends_with("&event=completed"));
    w.reply(id, Ok(answer()));
    assert!(w.asks().is_empty());
    w.announce.on_stop(w.now);
    assert!(!w.announce.is_stopped(w.now));
    let (id, url) = w.ask();
    assert!(url.ends_with("&numwant=0&event=stopped"));
    w.reply(id, Ok(answer()));
    assert!(w.announce.is_stopped(w.now));
}

#[test]
fn a_completion_during_an_announce_is_told_right_after_it() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (id, _) = w.ask();
    w.reply(id, Ok(answer()));
    w.wait();
    let (id, _) = w.ask();
    w.announce.on_completed(w.now);
    w.reply(id, Ok(answer()));
    assert!(w.ask().1.ends_with("&event=completed"));
}

#[test]
fn a_completion_during_started_is_told_and_one_before_it_is_not() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (id, _) = w.ask();
    w.announce.on_completed(w.now);
    w.reply(id, Err(AskError::TimedOut));
    assert!(w.asks().is_empty());
    w.wait();
    let (id, url) = w.ask();
    assert!(url.ends_with("&event=started"), "it never heard the first one");
    w.announce.on_completed(w.now);
    w.reply(id, Ok(answer()));
    let (id, url) = w.ask();
    assert!(url.ends_with("&event=completed"));
    w.reply(id, Ok(answer()));
    assert!(w.asks().is_empty());
}

#[test]
fn a_completion_that_nobody_heard_is_told_again_after_the_pause() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (id, _) = w.ask();
    w.reply(id, Ok(answer()));
    w.announce.on_completed(w.now);
    let (id, _) = w.ask();
    w.reply(id, Err(AskError::TimedOut));
    assert!(w.asks().is_empty());
    w.wait();
    assert!(w.ask().1.ends_with("&event=completed"));
}

#[test]
fn stopping_is_bounded_in_time_and_tells_only_who_heard_started() {
    let mut w = World::new(&[&["http://dead.example/announce"], &["http://t.example/announce"]]);
    let (id, _) = w.ask();
    w.reply(id, Err(AskError::TimedOut));
    let (id, _) = w.ask();
    w.reply(id, Ok(answer()));
    w.announce.on_stop(w.now);
    assert!(w.ask().1.starts_with("http://t.example/"));
    w.wait();
    assert_eq!(seconds(Instant::ZERO, w.now), 5);
    assert!(w.announce.is_stopped(w.now));
}

#[test]
fn a_stop_during_started_tells_the_tracker_too() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (started, _) = w.ask();
    w.announce.on_stop(w.now);
    assert!(w.ask().1.ends_with("&event=stopped"));
    w.reply(started, Ok(answer()));
    assert!(!w.announce.is_stopped(w.now), "the answer to `started` is not the answer to `stopped`");
}

#[test]
fn bep_0012_tiers_are_tried_in_order_and_the_working_one_moves_to_its_tiers_front() {
    let mut w = World::new(&[
        &["http://a/announce", "http://b/announce", "http://c/announce"],
        &["http://d/announce"],
    ]);
    let order = w.order();
    assert_eq!(order[3], "http://d/announce");
    for failing in &order[..2] {
        let (id, url) = w.ask();
        assert!(url.starts_with(failing.as_str()));
        w.reply(id, Err(AskError::TimedOut));
    }
    let (id, _) = w.ask();
    w.reply(id, Ok(answer()));
    assert_eq!(w.order(), [&order[2], &order[0], &order[1], &order[3]].map(String::clone));
    w.wait();
    assert!(w.ask().1.starts_with(order[2].as_str()));
}

#[test]
fn bep_0012_backups_are_reached_only_through_failed_tiers_and_the_first_is_tried_again() {
    let mut w = World::new(&[&["http://a/announce"], &["http://b/announce"]]);
    let (id, _) = w.ask();
    w.reply(id, Err(AskError::TimedOut));
    let (id, url) = w.ask();
    assert!(url.starts_with("http://b/"));
    w.reply(id, Ok(answer()));
    assert_eq!(w.order(), ["http://a/announce", "http://b/announce"]);
    w.wait();
    assert!(w.ask().1.starts_with("http://a/"));
}

#[test]
fn bep_0012_a_tier_is_shuffled() {
    let urls: Vec<String> = (0..20).map(|n| std::format!("http://t{n}/announce")).collect();
    let tier: Vec<&str> = urls.iter().map(String::as_str).collect();
    assert_ne!(World::new(&[&tier]).order(), urls);
}

#[test]
fn failures_pause_longer_and_longer_within_a_bound() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let mut pauses = vec![];
    for _ in 0..9 {
        let (id, _) = w.ask();
        w.reply(id, Err(AskError::Status(503)));
        assert!(w.asks().is_empty());
        let before = w.now;
        w.wait();
        pauses.push(seconds(before, w.now));
    }
    assert!((60..=75).contains(&pauses[0]) && (120..=150).contains(&pauses[1]), "{pauses:?}");
    assert!((3600..=4500).contains(&pauses[8]), "{pauses:?}");
    let view = w.announce.trackers().next().unwrap();
    assert_eq!((view.state, view.failures, view.error), (TrackerState::Failing, 9, Some("HTTP status 503")));
}

#[test]
fn bep_0031_retry_in_is_obeyed_and_never_means_never() {
    let refusal =
        |retry| AskError::Answer(HttpAnswerError::Failed { reason: "no".into(), retry: Some(retry) });
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (id, _) = w.ask();
    w.reply(id, Err(refusal(RetryIn::Minutes(30))));
    assert!(w.asks().is_empty());
    w.wait();
    assert!((1800..=2250).contains(&seconds(Instant::ZERO, w.now)));
    let (id, _) = w.ask();
    w.reply(id, Err(refusal(RetryIn::Never)));
    assert!(w.asks().is_empty());
    assert_eq!(w.announce.deadline(), None);
    assert_eq!(w.announce.trackers().next().unwrap().state, TrackerState::Refused);
}

#[test]
fn pitfall_05_each_family_announces_with_its_port_and_the_same_key() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    w.facts.port_v6 = Some(7000);
    let asks = w.asks();
    assert_eq!(asks.iter().map(|a| a.family).collect::<Vec<_>>(), [Some(Family::V4), Some(Family::V6)]);
    let urls: Vec<String> = asks.iter().map(url).collect();
    assert!(urls[0].contains("&port=6881&") && urls[1].contains("&port=7000&"));
    let key = |url: &str| url.split("&key=").nth(1).map(|rest| rest[..8].to_string()).unwrap();
    assert_eq!(key(&urls[0]), key(&urls[1]));
    assert!(!urls[0].contains("ipv6=") && !urls[0].contains("ip="));
    // One family out of reach is no failure of the tracker.
    let got = w.reply(asks[0].id, Err(AskError::Unreachable("no route".into())));
    assert_eq!(got.failed, None);
    assert_eq!(w.reply(asks[1].id, Ok(answer())).failed, None);
    assert_eq!(w.announce.trackers().next().unwrap().state, TrackerState::Working);
}

#[test]
fn the_user_hears_of_a_failure_once_all_lanes_failed_and_then_what_the_tracker_itself_said() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    w.facts.port_v6 = Some(7000);
    let asks = w.asks();
    assert_eq!(w.reply(asks[0].id, Err(AskError::Status(404))).failed, None);
    let got = w.reply(asks[1].id, Err(AskError::TimedOut));
    assert_eq!(got.failed, Some(AskError::Status(404)));
    assert!(w.asks().is_empty());
    w.wait();
    let asks = w.asks();
    assert_eq!(w.reply(asks[0].id, Err(AskError::TimedOut)).failed, None, "the attempt before is forgotten");
    let got = w.reply(asks[1].id, Err(AskError::Unreachable("no route".into())));
    assert_eq!(got.failed, Some(AskError::Unreachable("no route".into())));
}

#[test]
fn who_listens_nowhere_announces_a_port_that_trackers_take_and_nobody_listens_at() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    w.facts.port_v4 = None;
    let (_, url) = w.ask();
    assert!(url.contains("&port=1&"), "{url}");
}

#[test]
fn bep_0052_a_hybrid_announces_both_hashes() {
    let mut w = World::with(AnnounceConfig::default(), &[&["http://t/announce"]], Some(InfoHash([b'b'; 20])));
    let urls: Vec<String> = w.asks().iter().map(url).collect();
    assert_eq!(urls.len(), 2);
    assert!(urls[0].contains("info_hash=aaaa") && urls[1].contains("info_hash=bbbb"));
}

#[test]
fn a_tracker_by_address_is_asked_over_its_family_alone_and_on_loopback_trusted_about_loopback() {
    let mut w = World::new(&[&["http://127.0.0.1:80/announce"]]);
    w.facts.port_v6 = Some(7000);
    let asks = w.asks();
    assert_eq!((asks.len(), asks[0].family, asks[0].limits.loopback), (1, Some(Family::V4), true));
}

#[test]
fn we_are_no_peer_of_ours() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (id, _) = w.ask();
    let peers = ["192.0.2.1:6881".parse().unwrap(), "192.0.2.1:6882".parse().unwrap()];
    let external_ip = Some("192.0.2.1".parse().unwrap());
    let got = w.reply(id, Ok(AnnounceAnswer { peers: peers.to_vec(), external_ip, ..answer() }));
    assert_eq!((got.peers, got.external_ip), (vec![peers[1]], external_ip));
}

#[test]
fn lacking_peers_brings_the_announce_forward_to_the_min_interval() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (id, _) = w.ask();
    w.reply(id, Ok(AnnounceAnswer { min_interval_s: Some(300), ..answer() }));
    w.announce.on_peers_lacking(w.now);
    w.wait();
    assert_eq!(seconds(Instant::ZERO, w.now), 300);
}

#[test]
fn udp_is_asked_and_nonsense_is_kept_but_not_asked() {
    let mut w = World::new(&[&["ftp://w.example/"], &["gopher://g"], &["udp://u.example:80/x"]]);
    assert_eq!(w.ask().1, "udp u.example Started");
    let states: Vec<TrackerState> = w.announce.trackers().map(|t| t.state).collect();
    assert_eq!(states, [TrackerState::Unsupported, TrackerState::Unsupported, TrackerState::Unused]);
}

#[test]
fn a_stale_answer_changes_nothing() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (id, _) = w.ask();
    w.reply(id, Ok(answer()));
    let before = w.announce.deadline();
    assert_eq!(w.reply(id, Err(AskError::TimedOut)), Answered::default());
    assert_eq!(w.announce.deadline(), before);
}

#[test]
fn a_tracker_id_is_sent_back() {
    let mut w = World::new(&[&["http://t.example/announce"]]);
    let (id, _) = w.ask();
    w.reply(id, Ok(AnnounceAnswer { tracker_id: Some(Box::new(*b"me")), ..answer() }));
    w.wait();
    assert!(w.ask().1.ends_with("&trackerid=me"));
}

#[test]
fn a_torrent_without_trackers_waits_for_nothing() {
    let mut w = World::new(&[]);
    assert!(w.asks().is_empty());
    assert_eq!(w.announce.deadline(), None);
    w.announce.on_stop(w.now);
    assert!(w.announce.is_stopped(w.now));
}

#[test]
fn trackers_are_bounded_and_no_url_is_asked_twice() {
    let config = AnnounceConfig { trackers_max: 2, ..AnnounceConfig::default() };
    let w =
        World::with(config, &[&["http://a/", "http://a/"], &["http://a/", "http://b/", "http://c/"]], None);
    assert_eq!(w.order().len(), 2);
}

#[test]
fn an_idle_torrent_with_one_tracker_stays_below_500_bytes() {
    let size = core::mem::size_of::<Announce>() + core::mem::size_of::<Standing>();
    assert!(size < 400, "{size}");
}

const A: &str = "http://a.example/announce";
const B: &str = "http://b.example/announce";
const C: &str = "http://c.example/announce";

impl World {
    fn give(&mut self, urls: &[&[&str]]) {
        self.announce.on_tiers(self.now, &tiers(urls), &mut self.rng);
    }

    fn works(&mut self, with: &str) -> String {
        let (id, url) = self.ask();
        assert!(url.starts_with(with), "{url} is not {with}");
        self.reply(id, Ok(answer()));
        url
    }
}

#[test]
fn a_tracker_that_stays_keeps_what_is_known_of_it_and_its_moment_whatever_its_tier() {
    let mut w = World::new(&[&[A]]);
    let (id, first) = w.ask();
    w.reply(id, Ok(AnnounceAnswer { tracker_id: Some(Box::new(*b"me")), ..answer() }));
    let due = w.announce.deadline();
    w.now += Duration::from_secs(60);
    w.give(&[&[B], &[A]]);
    assert!(w.works(B).ends_with("&event=started"));
    assert_eq!((w.order(), w.asks().len()), (vec![B.to_string(), A.to_string()], 0));
    let views: Vec<_> = w.announce.trackers().map(|t| (t.tier, t.state, t.complete)).collect();
    assert_eq!(views, [(0, TrackerState::Working, Some(3)), (1, TrackerState::Working, Some(3))]);
    w.give(&[&[A]]);
    assert!(w.ask().1.starts_with(B));
    w.now = due.unwrap();
    let (id, again) = w.ask();
    assert!(again.ends_with("&trackerid=me") && !again.contains("&event"), "{again}");
    let key = |url: &str| url.split('&').find(|part| part.starts_with("key=")).map(String::from);
    assert_eq!(key(&again), key(&first));
    w.reply(id, Ok(answer()));
    assert!(w.announce.deadline() > due);
}

#[test]
fn one_that_comes_behind_one_that_works_is_asked_out_of_turn_and_changes_no_turn() {
    for works in [true, false] {
        let mut w = World::new(&[&[A]]);
        w.works(A);
        let due = w.announce.deadline();
        w.give(&[&[A, B], &[C]]);
        for with in [B, C] {
            let (id, url) = w.ask();
            assert!(url.starts_with(with) && url.ends_with("&event=started"), "{url}");
            w.reply(id, if works { Ok(answer()) } else { Err(AskError::TimedOut) });
        }
        assert_eq!((w.asks().len(), w.announce.deadline()), (0, due), "works: {works}");
        w.wait();
        w.works(A);
    }
}

#[test]
fn one_that_comes_takes_over_if_none_works() {
    let mut w = World::new(&[&[A]]);
    let (id, _) = w.ask();
    w.reply(id, Err(AskError::TimedOut));
    assert!(w.asks().is_empty());
    w.give(&[&[A, B]]);
    w.works(B);
    assert_eq!((w.order(), w.asks().len()), (vec![B.to_string(), A.to_string()], 0));
    assert!(seconds(w.now, w.announce.deadline().unwrap()) >= 1800);
    let mut w = World::new(&[]);
    assert!(w.asks().is_empty());
    w.give(&[&[A]]);
    let (id, _) = w.ask();
    w.reply(id, Err(AskError::TimedOut));
    assert!(w.asks().is_empty());
    assert!(seconds(w.now, w.announce.deadline().unwrap()) >= 60, "it is asked again");
}

#[test]
fn one_that_goes_while_its_answer_is_awaited_is_told_stopped_and_not_heard_any_more() {
    let mut w = World::new(&[&[A]]);
    let (id, _) = w.ask();
    w.give(&[&[B]]);
    let asks = w.asks();
    assert!(url(&asks[0]).starts_with(A) && url(&asks[0]).ends_with("&event=stopped"));
    assert!(url(&asks[1]).starts_with(B) && url(&asks[1]).ends_with("&event=started"));
    assert_eq!(w.announce.url_of(id), None);
    assert_eq!(w.announce.url_of(asks[0].id), Some(A));
    assert_eq!(w.reply(id, Ok(answer())), Answered::default());
    w.reply(asks[1].id, Ok(answer()));
    w.announce.on_stop(w.now);
    let (id, _) = w.ask();
    w.reply(id, Ok(answer()));
    assert!(!w.announce.is_stopped(w.now), "its word is waited for, as long as any may be");
    w.reply(asks[0].id, Err(AskError::TimedOut));
    assert!(w.announce.is_stopped(w.now));
}

#[test]
fn bep_0052_one_that_goes_is_told_so_for_both_hashes() {
    let mut w = World::with(AnnounceConfig::default(), &[&[A]], Some(InfoHash([b'b'; 20])));
    for ask in w.asks() {
        w.reply(ask.id, Ok(answer()));
    }
    w.give(&[]);
    let told: Vec<String> = w.asks().iter().map(url).collect();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|url| url.ends_with("&event=stopped")) && told[0] != told[1], "{told:?}");
    assert_eq!(w.announce.deadline(), None);
}

#[test]
fn one_that_comes_back_is_asked_when_its_farewell_is_over() {
    let mut w = World::new(&[&[A]]);
    w.works(A);
    w.give(&[]);
    assert!(w.ask().1.ends_with("&event=stopped"));
    w.give(&[&[A]]);
    assert!(w.asks().is_empty());
    w.wait();
    assert_eq!(seconds(Instant::ZERO, w.now), 5);
    assert!(w.works(A).ends_with("&event=started"));
}

#[test]
fn before_the_start_and_after_a_stop_new_trackers_are_asked_nothing_and_then_in_their_turn() {
    let mut w = World::new(&[&[A]]);
    w.works(A);
    w.announce.on_stop(w.now);
    let (stopped, _) = w.ask();
    w.give(&[&[B], &[C]]);
    assert!(w.asks().is_empty(), "it was told already");
    assert!(!w.announce.is_stopped(w.now));
    w.reply(stopped, Ok(answer()));
    assert!(w.announce.is_stopped(w.now));
    w.announce.on_start(w.now);
    w.works(B);
    assert!(w.asks().is_empty(), "the first tier works");
}

#[test]
fn trackers_that_come_and_go_are_bounded() {
    let config = AnnounceConfig { trackers_max: 2, ..AnnounceConfig::default() };
    let mut w = World::with(config, &[&[A]], None);
    for n in 0..20 {
        for ask in w.asks() {
            w.reply(ask.id, Ok(answer()));
        }
        let urls: Vec<String> = (0..5).map(|m| std::format!("http://t{n}.example/{m}")).collect();
        let urls: Vec<&str> = urls.iter().map(|url| &**url).collect();
        w.give(&[&urls]);
        assert_eq!(w.order().len(), 2);
    }
    assert!(w.announce.told().count() <= 4);
}
