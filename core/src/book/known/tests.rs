//! Stories of the book.

use super::*;
use crate::wire::ip_filter::IpFilter;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

const fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn addr(s: &str) -> SocketAddr {
    s.parse().unwrap()
}

fn tell(book: &mut Book, s: &str) -> Result<Added, AddressRefusal> {
    book.on_address(addr(s), Source::Tracker, &Own::default(), &BookConfig::default())
}

#[test]
fn one_peer_has_one_address_whoever_tells_it() {
    let mut book = Book::default();
    assert_eq!(tell(&mut book, "1.2.3.4:5"), Ok(Added::New));
    assert_eq!(tell(&mut book, "[::ffff:1.2.3.4]:5"), Ok(Added::Known));
    let (own, config) = (Own::default(), BookConfig::default());
    book.on_address(addr("1.2.3.4:5"), Source::Pex, &own, &config).unwrap();
    let all: Vec<_> = book.iter().collect();
    assert_eq!((all.len(), all[0].0), (1, addr("1.2.3.4:5")));
    assert!(all[0].1.has(Source::Pex) && all[0].1.has(Source::Tracker) && !all[0].1.has(Source::Dht));
}

#[test]
fn addresses_of_no_single_host_are_refused_and_counted() {
    let mut book = Book::default();
    assert_eq!(tell(&mut book, "1.2.3.4:0"), Err(AddressRefusal::Port));
    for bad in ["0.0.0.0:1", "0.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1", "[::]:1", "[ff02::1]:1"] {
        assert_eq!(tell(&mut book, bad), Err(AddressRefusal::Host), "{bad}");
    }
    assert_eq!((book.refused(AddressRefusal::Host), book.refused(AddressRefusal::Port)), (6, 1));
    assert!(book.is_empty());
}

#[test]
fn who_could_not_be_called_is_tried_again_after_a_pause_that_does_not_grow() {
    let (mut book, config) = (Book::default(), BookConfig::default());
    tell(&mut book, "1.2.3.4:5").unwrap();
    let mut now = at(0);
    for _ in 0..100 {
        let next = book.next_candidate(now, false).expect("it isn't forgotten");
        book.on_connecting(next);
        book.on_uncalled(now, next, &config);
        assert_eq!((book.next_candidate(now, false), book.tried(next)), (None, Tried::Never));
        now += Duration::from_millis(config.back_off_ms);
    }
}

#[test]
fn what_the_filter_forbids_is_refused_and_a_new_filter_forgets_who_was_known() {
    let mut book = Book::default();
    let list = b"10.0.0.0/8\n2001:db8::/32\n";
    let filter = |list| Some(Arc::new(IpFilter::read(list, &Default::default()).unwrap().filter));
    let mut config = BookConfig { ip_filter: filter(&list[..]), ..BookConfig::default() };
    let tell = |book: &mut Book, s, config: &BookConfig| {
        book.on_address(addr(s), Source::User, &Own::default(), config)
    };
    for bad in ["10.1.2.3:4", "[2001:db8::7]:1", "[::ffff:10.0.0.1]:1"] {
        assert_eq!(tell(&mut book, bad, &config), Err(AddressRefusal::Filtered), "{bad}");
    }
    assert_eq!(tell(&mut book, "192.0.2.1:1", &config), Ok(Added::New));
    assert_eq!(tell(&mut book, "192.0.3.1:1", &config), Ok(Added::New));
    config.ip_filter = filter(b"192.0.2.0/24");
    book.on_filter(&config);
    assert_eq!((book.len(), book.refused(AddressRefusal::Filtered)), (1, 4));
    assert_eq!(book.next_candidate(at(0), false), Some(addr("192.0.3.1:1")));
}

#[test]
fn failures_double_the_pause_and_a_stranger_is_forgotten_after_too_many() {
    let (mut book, config, mut rng) = (Book::default(), BookConfig::default(), Rng::new([1; 32]));
    tell(&mut book, "1.2.3.4:5").unwrap();
    let mut now = at(0);
    let mut pauses = Vec::new();
    while let Some(next) = book.next_candidate(now, false) {
        book.on_connecting(next);
        assert_eq!(book.next_candidate(now, false), None);
        book.on_failed(now, next, &config, &mut rng);
        let Some(end) = book.deadline() else { break };
        pauses.push(end.saturating_since(now).as_millis() as u64);
        assert_eq!(book.next_candidate(end - Duration::from_micros(1), false), None);
        now = end;
    }
    assert_eq!((pauses.len(), book.len()), (6, 0));
    for (n, pause) in pauses.iter().enumerate() {
        let nominal = 5_000 << n;
        assert!((nominal * 3 / 4..=nominal * 5 / 4).contains(pause), "{pauses:?}");
    }
}

#[test]
fn what_the_user_gave_is_tried_first_and_for_ever() {
    let (mut book, config, mut rng) = (Book::default(), BookConfig::default(), Rng::new([1; 32]));
    tell(&mut book, "1.2.3.4:5").unwrap();
    let mine = addr("9.9.9.9:9");
    book.on_address(mine, Source::User, &Own::default(), &config).unwrap();
    assert_eq!(book.next_candidate(at(0), false), Some(mine));
    for _ in 0..100 {
        book.on_failed(at(0), mine, &config, &mut rng);
    }
    assert_eq!(book.len(), 2);
}

#[test]
fn bep_0040_the_highest_priority_is_tried_first_and_follows_our_address() {
    let (mut book, config) = (Book::default(), BookConfig::default());
    let own = Own { v4: Some(addr("123.213.32.10:6881")), v6: None };
    for n in 0..50 {
        let theirs = addr(&format!("{}.7.8.9:6881", n + 1));
        book.on_address(theirs, Source::Tracker, &own, &config).unwrap();
    }
    let order = |book: &mut Book| {
        let next = book.next_candidate(at(0), false)?;
        book.on_connecting(next);
        Some(next)
    };
    let first = order(&mut book).unwrap();
    let best = book.iter().map(|(a, _)| priority(own.v4.unwrap(), a)).max().unwrap();
    assert_eq!(priority(own.v4.unwrap(), first), best);
    let own = Own { v4: Some(addr("8.8.8.8:6881")), v6: None };
    book.on_own(&own);
    let drawn: Vec<u32> =
        core::iter::from_fn(|| order(&mut book)).map(|a| priority(own.v4.unwrap(), a)).collect();
    assert!(drawn.len() == 49 && drawn.is_sorted_by(|a, b| a >= b));
}

#[test]
fn a_seed_does_not_try_seeds() {
    let mut book = Book::default();
    tell(&mut book, "1.2.3.4:5").unwrap();
    book.on_upload_only(addr("1.2.3.4:5"), true);
    assert_eq!((book.next_candidate(at(0), true), book.candidates(true)), (None, 0));
    assert_eq!(book.next_candidate(at(0), false), Some(addr("1.2.3.4:5")));
}

#[test]
fn we_never_try_ourselves_twice() {
    let mut book = Book::default();
    tell(&mut book, "1.2.3.4:5").unwrap();
    book.on_connecting(addr("1.2.3.4:5"));
    book.on_ourselves(addr("1.2.3.4:5"));
    book.on_connecting(addr("1.2.3.4:5")); // somebody in the middle says that it calls us
    assert_eq!(tell(&mut book, "1.2.3.4:5"), Err(AddressRefusal::Ourselves));
    assert_eq!((book.next_candidate(at(u64::MAX / 1000), false), book.iter().count()), (None, 0));
}

#[test]
fn bep_0014_a_ban_holds_on_every_link() {
    let (mut book, config) = (Book::default(), BookConfig::default());
    let own = Own::default();
    let on = |link: u32| addr(&std::format!("[fe80::1%{link}]:5"));
    assert_eq!(book.on_address(on(3), Source::Lsd, &own, &config), Ok(Added::New));
    book.ban(on(3).ip(), BanReason::BadData, &config);
    assert!(book.is_empty());
    let again = book.on_address(on(4), Source::Lsd, &own, &config);
    assert_eq!(again, Err(AddressRefusal::Banned));
}

#[test]
fn a_ban_holds_for_every_port_and_says_why() {
    let (mut book, config) = (Book::default(), BookConfig::default());
    for s in ["1.2.3.4:5", "1.2.3.4:6", "1.2.3.5:5"] {
        tell(&mut book, s).unwrap();
    }
    book.ban("::ffff:1.2.3.4".parse().unwrap(), BanReason::BadData, &config);
    assert_eq!((book.len(), book.next_candidate(at(0), false)), (1, Some(addr("1.2.3.5:5"))));
    assert_eq!(tell(&mut book, "1.2.3.4:7"), Err(AddressRefusal::Banned));
    assert_eq!(book.ban_of("1.2.3.4".parse().unwrap()), Some(BanReason::BadData));
    book.unban("1.2.3.4".parse().unwrap());
    assert_eq!(tell(&mut book, "1.2.3.4:7"), Ok(Added::New));
}

#[test]
fn a_flood_of_addresses_stays_within_its_bound_and_the_worst_go() {
    let config = BookConfig { addresses_max: 10, ..BookConfig::default() };
    let own = Own { v4: Some(addr("123.213.32.10:6881")), v6: None };
    let (mut book, mut rng) = (Book::default(), Rng::new([1; 32]));
    let mine = addr("9.9.9.9:9");
    book.on_address(mine, Source::User, &own, &config).unwrap();
    book.on_failed(at(0), mine, &config, &mut rng);
    let mut all = Vec::new();
    for n in 0..1000u32 {
        let theirs = SocketAddr::new(IpAddr::from((n + 1_000_000_000).to_be_bytes()), 6881);
        all.push(priority(own.v4.unwrap(), theirs));
        let _ = book.on_address(theirs, Source::Pex, &own, &config);
        assert!(book.len() <= 10);
    }
    all.sort_unstable();
    let worst = book.iter().filter(|x| x.0 != mine).map(|x| priority(own.v4.unwrap(), x.0)).min();
    assert_eq!((worst, book.iter().any(|x| x.0 == mine)), (Some(all[991]), true));
}

#[test]
fn each_source_is_counted_once_for_an_address_that_it_tells() {
    let (mut book, config) = (Book::default(), BookConfig::default());
    let told = [Source::Tracker, Source::Pex, Source::Pex, Source::Tracker, Source::Dht];
    for source in told {
        book.on_address(addr("1.2.3.4:5"), source, &Own::default(), &config).unwrap();
    }
    book.on_address(addr("1.2.3.4:0"), Source::Lsd, &Own::default(), &config).unwrap_err();
    assert_eq!(book.found(), Found { trackers: 1, pex: 1, dht: 1, ..Found::default() });
}

#[test]
fn an_empty_book_costs_next_to_nothing() {
    assert!(size_of::<Book>() <= 8 && size_of::<Entry>() <= 32 && size_of::<Rank>() <= 28);
}

#[test]
fn who_the_user_sent_away_waits_for_the_longest_pause_and_nothing_but_the_user_ends_it() {
    let (mut book, config) = (Book::default(), BookConfig::default());
    let them = addr("1.2.3.4:5");
    tell(&mut book, "1.2.3.4:5").unwrap();
    book.on_connected(them);
    book.on_dismissed(at(1_000), them, &config);
    tell(&mut book, "1.2.3.4:5").unwrap();
    book.on_resume();
    book.on_wants();
    assert_eq!(book.next_candidate(at(900_000), false), None);
    assert_eq!(book.next_candidate(at(901_000), false), Some(them));
    book.on_connected(them);
    book.on_dismissed(at(902_000), them, &config);
    book.on_address(them, Source::User, &Own::default(), &config).unwrap();
    assert_eq!(book.next_candidate(at(902_000), false), Some(them));
    book.on_connected(them);
    book.on_address(them, Source::User, &Own::default(), &config).unwrap();
    assert_eq!(book.next_candidate(at(902_000), false), None, "it is here");
    book.on_closed(at(903_000), them, &config, &mut Rng::new([1; 32]));
    book.on_resume();
    assert_eq!(book.next_candidate(at(903_000), false), Some(them), "an end like any other");
}
