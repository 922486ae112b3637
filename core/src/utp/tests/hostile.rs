//! Peers that mean harm: what was never sent is acknowledged, windows lie, strangers flood.

use super::path::{Flow, LOCAL, Path, World, addr, run};
use super::*;
use crate::base::{Instant, LocalId, Rng};
use crate::wire::utp::{ABILITIES, Header, Kind, SELECTIVE_ACK, TAKES_LARGE};
use core::net::SocketAddr;

/// A peer by hand against real sockets.
struct Hand {
    sockets: Sockets,
    now: Instant,
    stream: StreamId,
    /// The last packet that came from the sockets.
    seen: Vec<Header>,
    payloads: Vec<Vec<u8>>,
}

const PEER: u16 = 500;

fn header(kind: Kind, id: u16, seq: u16, ack: u16) -> Header {
    Header { kind, connection_id: id, timestamp: 1, timestamp_difference: 0, window: 1 << 20, seq, ack }
}

fn arrival(from: SocketAddr, data: Vec<u8>) -> Arrival {
    Arrival { local: LOCAL, to: None, from, data: Chunk::from(data) }
}

impl Hand {
    /// Called by us, and answered: our number is `PEER`, theirs one more; our next place is 11.
    fn new(config: UtpConfig) -> Self {
        let mut hand = Self {
            sockets: Sockets::new(config, Rng::new([9; 32])),
            now: Instant::from_micros(1_000_000),
            stream: StreamId(0),
            seen: Vec::new(),
            payloads: Vec::new(),
        };
        hand.give(header(Kind::Syn, PEER, 10, 0), 0, &[]);
        hand.take();
        hand.give(header(Kind::Data, PEER + 1, 11, hand.seen[0].seq.wrapping_sub(1)), 0, b"hi");
        hand.stream = hand.sockets.accept().unwrap().stream;
        hand.sockets.read(hand.now, hand.stream).unwrap();
        hand.take();
        hand
    }

    fn give(&mut self, header: Header, extension: u8, rest: &[u8]) -> bool {
        let mut bytes = header.encode(extension).to_vec();
        bytes.extend_from_slice(rest);
        self.sockets.on_datagram(self.now, &arrival(addr(1), bytes))
    }

    fn take(&mut self) -> usize {
        let before = self.seen.len();
        while let Some(packets) = self.sockets.next_packets(self.now, LOCAL, 65_536) {
            let stride = packets.stride.map_or(packets.data.len(), usize::from);
            for packet in packets.data.chunks(stride) {
                let packet = crate::wire::utp::Packet::parse(packet).unwrap();
                self.seen.push(packet.header);
                self.payloads.push(packet.payload.to_vec());
            }
        }
        self.seen.len() - before
    }

    fn wait(&mut self, ms: u64) -> usize {
        let end = self.now + core::time::Duration::from_millis(ms);
        let mut sent = 0;
        while let Some(at) = self.sockets.deadline().filter(|&at| at <= end) {
            self.now = at.max(self.now);
            self.sockets.on_timeout(self.now);
            sent += self.take();
        }
        self.now = end;
        sent
    }

    fn write(&mut self, bytes: usize) -> usize {
        self.sockets.write(self.now, self.stream, [Chunk::from(std::vec![1; bytes])]);
        self.take()
    }
}

#[test]
fn bep_0029_the_answer_to_a_call_names_the_callers_place_and_our_next() {
    let hand = Hand::new(UtpConfig::default());
    let answer = hand.seen[0];
    assert_eq!((answer.kind, answer.connection_id, answer.ack), (Kind::State, PEER, 10));
    let mut hand = hand;
    hand.write(10);
    assert_eq!(hand.seen.last().unwrap().seq, answer.seq, "it took no place of its own");
}

#[test]
fn pitfall_08_the_callers_ack_is_one_before_the_place_in_the_answer_to_its_call() {
    let mut sockets = Sockets::new(UtpConfig::default(), Rng::new([9; 32]));
    let now = Instant::from_micros(1);
    let id = sockets.connect(now, LOCAL, addr(1)).unwrap();
    let call = sockets.next_packets(now, LOCAL, 2000).unwrap();
    let call = crate::wire::utp::Packet::parse(&call.data).unwrap().header;
    let answer = header(Kind::State, call.connection_id, 4000, call.seq).encode(0).to_vec();
    assert!(sockets.on_datagram(now, &arrival(addr(1), answer)));
    sockets.write(now, id, [Chunk::copy_from(b"x")]);
    let first = sockets.next_packets(now, LOCAL, 2000).unwrap();
    let first = crate::wire::utp::Packet::parse(&first.data).unwrap().header;
    assert_eq!((first.ack, first.connection_id), (3999, call.connection_id + 1));
    assert_eq!(first.seq, call.seq + 1);
}

#[test]
fn acks_of_what_was_never_sent_are_not_believed() {
    let mut hand = Hand::new(UtpConfig::default());
    hand.write(100);
    let next = hand.seen.last().unwrap().seq;
    assert!(!hand.give(header(Kind::State, PEER + 1, 12, next.wrapping_add(1)), 0, &[]));
    assert!(!hand.give(header(Kind::State, PEER + 1, 12, next.wrapping_add(30_000)), 0, &[]));
    // Bits beyond what was sent mean nothing, nor does the length of a mask.
    for len in [1_u8, 3, 5, 255] {
        let mut rest = std::vec![0, len];
        rest.extend((0..len).map(|_| 0xff));
        let ack = next.wrapping_sub(1);
        assert!(hand.give(header(Kind::State, PEER + 1, 12, ack), SELECTIVE_ACK, &rest));
    }
    assert!(hand.give(header(Kind::State, PEER + 1, 12, next), 0, &[]));
}

#[test]
fn pitfall_08_masks_of_odd_length_are_heeded_and_lost_packets_sent_again_at_once() {
    let mut hand = Hand::new(UtpConfig { packet_bytes_max: 548, ..UtpConfig::default() });
    hand.write(548 * 4 * 8);
    let first = hand.seen.iter().find(|it| it.kind == Kind::Data).unwrap().seq;
    // All came but the first; three of them are enough to say so.
    let ack = header(Kind::State, PEER + 1, 12, first.wrapping_sub(1));
    hand.seen.clear();
    hand.give(ack, SELECTIVE_ACK, &[0, 1, 0b0000_0111]);
    hand.take();
    assert_eq!(hand.seen[0].seq, first);
}

#[test]
fn pitfall_08_duplicate_acks_count_only_without_payload() {
    let mut hand = Hand::new(UtpConfig { packet_bytes_max: 548, ..UtpConfig::default() });
    hand.write(548 * 4);
    let first = hand.seen.iter().find(|it| it.kind == Kind::Data).unwrap().seq;
    let ack = first.wrapping_sub(1);
    hand.seen.clear();
    for seq in 12..20 {
        hand.give(header(Kind::Data, PEER + 1, seq, ack), 0, b"payload");
    }
    hand.take();
    assert!(hand.seen.iter().all(|it| it.kind == Kind::State), "{:?}", hand.seen);
    hand.seen.clear();
    for _ in 0..3 {
        hand.give(header(Kind::State, PEER + 1, 20, ack), 0, &[]);
    }
    hand.take();
    assert_eq!((hand.seen[0].kind, hand.seen[0].seq), (Kind::Data, first));
}

#[test]
fn bytes_beyond_the_window_that_we_gave_are_not_kept() {
    let window_bytes = 64 << 10;
    let mut hand = Hand::new(UtpConfig { window_bytes, ..UtpConfig::default() });
    let ack = hand.seen[0].seq.wrapping_sub(1);
    // Beyond a gap, so that nothing can be read.
    for seq in 13..400_u16 {
        hand.give(header(Kind::Data, PEER + 1, seq, ack), 0, &[0; 1400]);
    }
    hand.give(header(Kind::Data, PEER + 1, 12, ack), 0, &[0; 1400]);
    let mut kept = 0;
    while let Some(data) = hand.sockets.read(hand.now, hand.stream) {
        kept += data.len();
    }
    assert!((60_000..=65_536 + 2 * 1400).contains(&kept), "{kept}");
}

#[test]
fn single_bytes_that_nobody_reads_fill_the_window_by_what_they_cost() {
    for gap in [0, 1] {
        let mut hand = Hand::new(UtpConfig { window_bytes: 64 << 10, ..config() });
        let ack = hand.seen[0].seq.wrapping_sub(1);
        for n in 0..4000 {
            hand.give(header(Kind::Data, PEER + 1, 12 + gap + n, ack), 0, b"x");
        }
        hand.take();
        // What is beyond a gap is let in by what fills it.
        if gap == 1 {
            hand.give(header(Kind::Data, PEER + 1, 12, ack), 0, b"x");
        }
        let kept = core::iter::from_fn(|| hand.sockets.read(hand.now, hand.stream)).count();
        assert!((900..=1100).contains(&kept), "{kept} pieces in a window of 64 KiB");
    }
}

#[test]
fn what_waits_beyond_a_gap_pins_no_large_buffer() {
    let mut hand = Hand::new(UtpConfig::default());
    let ack = hand.seen[0].seq.wrapping_sub(1);
    let mut large = std::vec![0_u8; 60_000];
    let bytes = header(Kind::Data, PEER + 1, 13, ack).encode(0);
    large[..20].copy_from_slice(&bytes);
    let data = Chunk::from(large).slice(0, 1000);
    hand.sockets.on_datagram(hand.now, &Arrival { local: LOCAL, to: None, from: addr(1), data });
    hand.give(header(Kind::Data, PEER + 1, 12, ack), 0, b"x");
    assert_eq!(hand.sockets.read(hand.now, hand.stream).unwrap().len(), 1);
    let late = hand.sockets.read(hand.now, hand.stream).unwrap();
    assert!(late.pinned() < 2000 && late.len() == 980);
}

#[test]
fn a_reset_with_a_wrong_number_or_address_ends_nothing() {
    let mut hand = Hand::new(UtpConfig::default());
    let sent = hand.seen[0].seq;
    for id in [PEER - 1, PEER + 2, 0] {
        assert!(!hand.give(header(Kind::Reset, id, 0, sent), 0, &[]));
    }
    let reset = header(Kind::Reset, PEER + 1, 0, sent).encode(0).to_vec();
    assert!(!hand.sockets.on_datagram(hand.now, &arrival(addr(2), reset)));
    assert_eq!(hand.sockets.len(), 1);
    assert!(hand.give(header(Kind::Reset, PEER, 0, sent), 0, &[]));
    let end = core::iter::from_fn(|| hand.sockets.next_event()).last();
    assert_eq!(end, Some(UtpEvent::Closed(hand.stream, CloseReason::Reset)));
    assert!(hand.sockets.is_empty());
}

#[test]
fn a_reset_that_answers_nothing_we_sent_ends_nothing() {
    for id in [PEER, PEER + 1] {
        let mut hand = Hand::new(UtpConfig::default());
        hand.write(100);
        let data = hand.seen.last().unwrap().seq;
        let false_resets =
            (0..=u16::MAX).step_by(7).filter(|seq| data.wrapping_sub(*seq).wrapping_add(1) > 2);
        for ack in false_resets {
            assert!(!hand.give(header(Kind::Reset, id, 0, ack), 0, &[]), "{ack} after {data}");
        }
        assert_eq!(hand.sockets.len(), 1);
        // Who forgot the stream names the place of the packet that came: of payload, or of what bears the next one's.
        for ack in [data, data.wrapping_add(1), data.wrapping_sub(1)] {
            let mut hand = Hand::new(UtpConfig::default());
            hand.write(100);
            assert!(hand.give(header(Kind::Reset, id, 0, ack), 0, &[]), "{ack} after {data}");
        }
    }
}

#[test]
fn a_call_repeated_without_its_extension_is_answered_without_it() {
    let mut sockets = Sockets::new(UtpConfig::default(), Rng::new([9; 32]));
    let now = Instant::from_micros(1);
    let able = [&header(Kind::Syn, PEER, 10, 0).encode(ABILITIES)[..], &[0, 8], &TAKES_LARGE].concat();
    let bare = header(Kind::Syn, PEER, 10, 0).encode(0).to_vec();
    for call in [able, bare.clone(), bare] {
        let came = call.len();
        sockets.on_datagram(now, &arrival(addr(1), call));
        let answers = core::iter::from_fn(|| sockets.next_packets(now, LOCAL, 2000));
        assert_eq!(answers.map(|it| it.data.len()).sum::<usize>(), came);
    }
}

#[test]
fn false_calls_keep_nobody_out_where_few_streams_may_be() {
    let config = UtpConfig { streams_max: 10, ..UtpConfig::default() };
    let mut sockets = Sockets::new(config, Rng::new([3; 32]));
    let now = Instant::from_micros(1);
    for n in 0..100_u32 {
        let from = SocketAddr::from((n.wrapping_mul(0x9e37_79b9).to_be_bytes(), 7));
        let call = header(Kind::Syn, n as u16, 1, 0).encode(0).to_vec();
        sockets.on_datagram(now, &arrival(from, call));
    }
    assert!(sockets.on_datagram(now, &arrival(addr(1), header(Kind::Syn, PEER, 10, 0).encode(0).to_vec())));
    for n in 0..10 {
        assert!(sockets.connect(now, LOCAL, addr(2)).is_some(), "{n} of ours");
    }
    assert_eq!(sockets.connect(now, LOCAL, addr(2)), None, "no more than may be");
    assert!(!sockets.on_datagram(now, &arrival(addr(1), header(Kind::Syn, 7, 10, 0).encode(0).to_vec())));
    assert_eq!(sockets.len(), 10);
}

#[test]
fn a_peer_that_holds_all_numbers_gets_no_call_and_stops_nothing() {
    let config = UtpConfig { streams_max: 40_000, backlog_max: 40_000, ..UtpConfig::default() };
    let mut sockets = Sockets::new(config, Rng::new([3; 32]));
    let now = Instant::from_micros(1);
    for id in (0..=u16::MAX).step_by(3) {
        sockets.on_datagram(now, &arrival(addr(1), header(Kind::Syn, id, 10, 0).encode(0).to_vec()));
    }
    assert_eq!(sockets.connect(now, LOCAL, addr(1)), None);
    assert!(sockets.connect(now, LOCAL, addr(2)).is_some());
}

/// The number of a call of ours to who called us with this one before.
fn number_after(theirs: u16) -> u16 {
    let mut sockets = Sockets::new(UtpConfig::default(), Rng::new([3; 32]));
    let now = Instant::from_micros(1);
    sockets.on_datagram(now, &arrival(addr(1), header(Kind::Syn, theirs, 10, 0).encode(0).to_vec()));
    sockets.connect(now, LOCAL, addr(1)).unwrap();
    let packets = core::iter::from_fn(|| sockets.next_packets(now, LOCAL, 2000));
    let headers = packets.map(|it| crate::wire::utp::Packet::parse(&it.data).unwrap().header);
    headers.last().filter(|it| it.kind == Kind::Syn).unwrap().connection_id
}

#[test]
fn a_call_takes_no_number_by_which_the_other_side_knows_a_stream_of_its_own() {
    let usual = number_after(0);
    for theirs in (0..5).map(|n| usual.wrapping_add(n).wrapping_sub(2)) {
        // The caller hears by its number, and who is called by the one above.
        let ours = number_after(theirs);
        assert_ne!(ours.wrapping_add(1), theirs, "at the other side");
        assert_ne!(ours, theirs.wrapping_add(1), "at ours");
    }
}

/// All that was sent is acknowledged by `ack`; answers how many bytes of payload are then under way.
fn flight(hand: &mut Hand, mut ack: Header) -> usize {
    ack.ack = hand.seen.iter().rfind(|it| it.kind == Kind::Data).map_or(ack.ack, |it| it.seq);
    hand.give(ack, 0, &[]);
    let before = hand.payloads.len();
    hand.take();
    hand.payloads[before..].iter().map(Vec::len).sum()
}

#[test]
fn who_claims_an_endless_window_makes_us_hold_no_more_than_we_choose() {
    let unacknowledged_bytes_max = 64 << 10;
    let mut hand = Hand::new(UtpConfig { unacknowledged_bytes_max, ..UtpConfig::default() });
    let mut ack = header(Kind::State, PEER + 1, 12, hand.seen[0].seq.wrapping_sub(1));
    ack.window = u32::MAX;
    hand.give(ack, 0, &[]);
    hand.write(4 << 20);
    let most = (0..20).map(|_| flight(&mut hand, ack)).max().unwrap();
    assert!((60_000..=64 << 10).contains(&most), "{most}");
}

#[test]
fn a_delay_that_nobody_measured_yet_is_no_sample() {
    // As libutp writes it: 0, or in older packets the greatest signed number.
    for unknown in [0, i32::MAX.cast_unsigned()] {
        let mut hand = Hand::new(UtpConfig::default());
        let mut ack = header(Kind::State, PEER + 1, 12, hand.seen[0].seq.wrapping_sub(1));
        hand.write(4 << 20);
        ack.timestamp_difference = unknown;
        flight(&mut hand, ack);
        ack.timestamp_difference = 0xc000_0000;
        let grown = (0..6).map(|_| flight(&mut hand, ack)).last().unwrap();
        assert!(grown > 100_000, "{unknown}: {grown}");
    }
}

#[test]
fn a_lost_packet_from_when_the_path_was_wider_fits_into_whatever_the_driver_asks_for() {
    let mut hand = Hand::new(UtpConfig::default());
    let ack = header(Kind::State, PEER + 1, 12, hand.seen[0].seq.wrapping_sub(1));
    hand.write(4 << 20);
    (0..6).for_each(|_| assert!(flight(&mut hand, ack) > 0));
    let largest = hand.payloads.last().unwrap().len();
    // Silence: the path may have become narrower. Nothing is taken meanwhile.
    for _ in 0..4 {
        hand.now = hand.sockets.deadline().unwrap();
        hand.sockets.on_timeout(hand.now);
    }
    let again = hand.sockets.next_packets(hand.now, LOCAL, 1).unwrap();
    assert_eq!(again.data.len(), 20 + largest);
}

#[test]
fn a_tiny_window_gets_no_flood_of_tiny_packets() {
    let mut hand = Hand::new(UtpConfig::default());
    let ack = hand.seen[0].seq.wrapping_sub(1);
    for window in [0, 1, 20, 149] {
        let mut shut = header(Kind::State, PEER + 1, 12, ack);
        shut.window = window;
        hand.give(shut, 0, &[]);
        assert_eq!(hand.write(10_000), 0, "{window}");
    }
    // It is asked now and then, and that is all.
    let asked = hand.wait(20_000);
    assert!((1..=8).contains(&asked), "{asked}");
    let mut open = header(Kind::State, PEER + 1, 12, ack);
    open.window = 100_000;
    hand.give(open, 0, &[]);
    assert!(hand.take() > 0);
}

#[test]
fn a_flood_of_false_calls_is_bounded_and_answered_with_no_more_than_it_sent() {
    let config = UtpConfig { backlog_max: 50, ..UtpConfig::default() };
    let mut sockets = Sockets::new(config, Rng::new([3; 32]));
    let mut now = Instant::from_micros(1);
    let (mut came, mut went) = (0, 0);
    for n in 0..5000_u32 {
        now += core::time::Duration::from_micros(100);
        let from = SocketAddr::from((n.wrapping_mul(0x9e37_79b9).to_be_bytes(), 7));
        let kind = if n % 3 == 0 { Kind::Data } else { Kind::Syn };
        let call = header(kind, n as u16, 1, 0).encode(0).to_vec();
        came += call.len();
        sockets.on_datagram(now, &arrival(from, call));
        while let Some(packets) = sockets.next_packets(now, LOCAL, 65_536) {
            went += packets.data.len();
        }
        assert!(sockets.len() <= 50);
    }
    let end = now + core::time::Duration::from_secs(60);
    while let Some(at) = sockets.deadline().filter(|&at| at < end) {
        sockets.on_timeout(at);
        while sockets.next_event().is_some() {}
        while let Some(packets) = sockets.next_packets(at, LOCAL, 65_536) {
            went += packets.data.len();
        }
    }
    assert!(went <= came, "{went} of {came}");
    assert!(sockets.is_empty(), "and forgotten");
    assert_eq!(sockets.accept(), None, "nobody unproven is handed on");
}

#[test]
fn an_honest_call_gets_through_a_flood() {
    let config = UtpConfig { backlog_max: 50, ..UtpConfig::default() };
    let mut world = World::new(13, Path::default(), &config);
    for n in 0..2000_u32 {
        let from = SocketAddr::from((n.wrapping_mul(0x9e37_79b9).to_be_bytes(), 7));
        let call = header(Kind::Syn, n as u16, 1, 0).encode(0).to_vec();
        world.ends[1].on_datagram(world.now, &arrival(from, call));
    }
    let (near, far) = world.connect();
    run(&mut world, &mut [Flow::new((0, near), (1, far), 100_000)], 10_000);
}

#[test]
fn garbage_harms_no_stream() {
    let (mut world, near, far) = World::connected(14, Path::default(), &UtpConfig::default());
    let mut rng = Rng::new([5; 32]);
    let mut flow = [Flow::new((0, near), (1, far), 300_000)];
    for _ in 0..3000 {
        let mut bytes: Vec<u8> = (0..rng.below(60)).map(|_| rng.next_u32() as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = (rng.below(5) as u8) << 4 | 1;
        }
        // Their numbers aren't known to who can't read the path.
        let from = SocketAddr::from(([192, 0, 2, 9], 6881));
        world.ends[1].on_datagram(world.now, &arrival(from, bytes));
        flow[0].pump(&mut world);
        world.step();
    }
    run(&mut world, &mut flow, 10_000);
}

#[test]
fn who_does_not_say_that_it_takes_large_datagrams_never_gets_one_beyond_an_ethernet_frame() {
    let v6 = SocketAddr::from(([0xfd99, 0, 0, 0, 0, 0, 0, 2], 6881));
    for (peer, most) in [(addr(1), 1472), (v6, 1452)] {
        let (largest, firsts) = sizes(peer, None);
        assert_eq!(largest, most, "the frame is used");
        assert!(firsts.iter().all(|&first| first < 3), "what libutp takes for uTP: {firsts:?}");
        let (largest, firsts) = sizes(peer, Some(TAKES_LARGE));
        assert_eq!(largest, 32_768);
        assert!(firsts.iter().all(|&first| first < 3), "{firsts:?}");
        assert_eq!(sizes(peer, Some(*b"MS other")).0, most);
    }
}

/// The largest datagram that a peer gets over a path that takes all, and the first extension of each.
fn sizes(peer: SocketAddr, able: Option<[u8; 8]>) -> (usize, Vec<u8>) {
    let config = UtpConfig { packet_bytes_max: 32_768, unsent_bytes_max: 1 << 20, ..UtpConfig::default() };
    let mut sockets = Sockets::new(config, Rng::new([9; 32]));
    let mut now = Instant::from_micros(1_000_000);
    let (mut largest, mut firsts) = (0, Vec::new());
    let mut call = header(Kind::Syn, PEER, 10, 0).encode(able.map_or(0, |_| ABILITIES)).to_vec();
    if let Some(able) = able {
        call.extend_from_slice(&[0, 8]);
        call.extend_from_slice(&able);
    }
    sockets.on_datagram(now, &arrival(peer, call));
    let answer = sockets.next_packets(now, LOCAL, 65_536).unwrap();
    let mut ack = crate::wire::utp::Packet::parse(&answer.data).unwrap().header.seq.wrapping_sub(1);
    let hello = [&header(Kind::Data, PEER + 1, 11, ack).encode(0)[..], b"hi"].concat();
    sockets.on_datagram(now, &arrival(peer, hello));
    let stream = sockets.accept().unwrap().stream;
    sockets.write(now, stream, [Chunk::from(std::vec![1; 4 << 20])]);
    for _ in 0..200 {
        now += core::time::Duration::from_millis(10);
        sockets.on_timeout(now);
        while let Some(packets) = sockets.next_packets(now, LOCAL, 65_536) {
            let stride = packets.stride.map_or(packets.data.len(), usize::from);
            for packet in packets.data.chunks(stride) {
                largest = largest.max(packet.len());
                firsts.push(packet[1]);
                let read = crate::wire::utp::Packet::parse(packet).unwrap();
                if read.header.kind == Kind::Data {
                    ack = read.header.seq;
                }
            }
        }
        let state = header(Kind::State, PEER + 1, 12, ack).encode(0).to_vec();
        sockets.on_datagram(now, &arrival(peer, state));
    }
    (largest, firsts)
}

/// Another socket of ours.
const OTHER: LocalId = LocalId(LOCAL.0 + 1);

fn kinds(sockets: &mut Sockets, now: Instant, local: LocalId) -> Vec<(SocketAddr, Kind)> {
    let packets = core::iter::from_fn(|| sockets.next_packets(now, local, 2000));
    packets.map(|it| (it.to, crate::wire::utp::Packet::parse(&it.data).unwrap().header.kind)).collect()
}

#[test]
fn packets_leave_from_their_streams_own_socket_though_a_place_in_memory_is_used_again() {
    let mut sockets = Sockets::new(UtpConfig::default(), Rng::new([9; 32]));
    let now = Instant::from_micros(1);
    let gone = sockets.connect(now, LOCAL, addr(1)).unwrap();
    sockets.reset(gone);
    sockets.connect(now, OTHER, addr(2)).unwrap();
    assert_eq!(kinds(&mut sockets, now, LOCAL), []);
    assert_eq!(kinds(&mut sockets, now, OTHER), [(addr(2), Kind::Syn)]);
}

#[test]
fn a_stream_that_was_proved_at_another_socket_sends_from_there_alone() {
    let mut sockets = Sockets::new(UtpConfig::default(), Rng::new([9; 32]));
    let now = Instant::from_micros(1);
    sockets.on_datagram(now, &arrival(addr(1), header(Kind::Syn, PEER, 10, 0).encode(0).to_vec()));
    let answer = sockets.next_packets(now, LOCAL, 2000).unwrap();
    let place = crate::wire::utp::Packet::parse(&answer.data).unwrap().header.seq.wrapping_sub(1);
    // A second call makes it wait at the first socket.
    sockets.on_datagram(now, &arrival(addr(1), header(Kind::Syn, PEER, 10, 0).encode(0).to_vec()));
    let mut bytes = header(Kind::Data, PEER + 1, 11, place).encode(0).to_vec();
    bytes.extend_from_slice(b"hi");
    sockets.on_datagram(now, &Arrival { local: OTHER, ..arrival(addr(1), bytes) });
    assert_eq!(kinds(&mut sockets, now, LOCAL), []);
    assert_eq!(kinds(&mut sockets, now, OTHER), [(addr(1), Kind::State)]);
}

#[test]
fn what_comes_from_where_nobody_can_be_is_neither_answered_nor_kept() {
    let mut sockets = Sockets::new(UtpConfig::default(), Rng::new([9; 32]));
    let now = Instant::from_micros(1);
    let sources = ["192.0.2.1:0", "0.0.0.0:6881", "0.1.2.3:6881", "224.0.0.1:6881", "255.255.255.255:6881"];
    let of_six = ["[::]:6881", "[ff02::1]:6881", "[2001:db8::1]:0", "[::ffff:224.0.0.1]:6881"];
    for from in sources.into_iter().chain(of_six) {
        for kind in [Kind::Syn, Kind::Data] {
            let bytes = header(kind, PEER, 10, 0).encode(0).to_vec();
            assert!(!sockets.on_datagram(now, &arrival(from.parse().unwrap(), bytes)), "{from}");
        }
    }
    assert!(sockets.is_empty());
    assert_eq!(kinds(&mut sockets, now, LOCAL), []);
}

#[test]
fn a_refusal_that_says_nothing_of_size_makes_no_packet_smaller() {
    let mut hand = Hand::new(UtpConfig::default());
    let ack = hand.seen[0].seq.wrapping_sub(1);
    for bytes in [20, 26, 548, 1200, 1300, 65_000] {
        hand.sockets.on_datagram_refused(hand.now, addr(1), bytes);
    }
    hand.give(header(Kind::State, PEER + 1, 12, ack), 0, &[]);
    hand.write(20_000);
    let largest = hand.payloads.iter().map(Vec::len).max().unwrap();
    assert!(largest >= 1200 - 22, "{largest}");
    // The probe itself may be too large: what it carried is sent again at once.
    hand.seen.clear();
    hand.sockets.on_datagram_refused(hand.now, addr(1), 1452);
    assert!(hand.take() > 0 && hand.seen[0].kind == Kind::Data, "{:?}", hand.seen);
}

#[test]
fn a_refusal_concerns_the_streams_of_its_address_alone() {
    let mut hand = Hand::new(UtpConfig::default());
    hand.write(20_000);
    hand.sockets.on_datagram_refused(hand.now, addr(2), 1452);
    assert_eq!(hand.take(), 0);
}

#[test]
fn old_acknowledgements_are_believed_only_from_a_short_past_and_say_nothing_of_the_window() {
    let mut hand = Hand::new(UtpConfig::default());
    let mut last = hand.seen[0].seq.wrapping_sub(1);
    for _ in 0..40 {
        assert_eq!(hand.write(100), 1);
        last = hand.seen.last().unwrap().seq;
        assert!(hand.give(header(Kind::State, PEER + 1, 12, last), 0, &[]));
        hand.take();
    }
    for old in [100, 1000, 2000, 10_000, 30_000] {
        assert!(!hand.give(header(Kind::State, PEER + 1, 12, last.wrapping_sub(old)), 0, &[]), "{old}");
    }
    let mut shut = header(Kind::State, PEER + 1, 12, last.wrapping_sub(5));
    shut.window = 0;
    assert!(hand.give(shut, 0, &[]), "late, and not false");
    assert_eq!(hand.write(100), 1, "its window is that of then");
    shut.ack = hand.seen.last().unwrap().seq;
    assert!(hand.give(shut, 0, &[]));
    assert_eq!(hand.write(100), 0);
}

#[test]
fn a_stranger_may_not_guess_on_and_on_at_the_answer_to_its_call() {
    let mut sockets = Sockets::new(UtpConfig::default(), Rng::new([9; 32]));
    let now = Instant::from_micros(1);
    sockets.on_datagram(now, &arrival(addr(1), header(Kind::Syn, PEER, 10, 0).encode(0).to_vec()));
    for ack in 0..=u16::MAX {
        let guess = header(Kind::Data, PEER + 1, 11, ack).encode(0).to_vec();
        sockets.on_datagram(now, &arrival(addr(1), guess));
        while sockets.next_event().is_some() {}
    }
    assert_eq!(sockets.accept(), None);
    assert!(sockets.is_empty());
}

#[test]
fn a_stream_that_was_let_go_keeps_nothing_that_nobody_will_read() {
    let window_bytes = 64 << 10;
    let mut hand = Hand::new(UtpConfig { window_bytes, ..UtpConfig::default() });
    let ack = hand.seen[0].seq.wrapping_sub(1);
    hand.give(header(Kind::Data, PEER + 1, 12, ack), 0, &[0; 1000]);
    hand.give(header(Kind::Data, PEER + 1, 15, ack), 0, &[0; 1000]);
    hand.sockets.finish(hand.now, hand.stream);
    for seq in [13, 14, 16, 17, 19, 18] {
        hand.give(header(Kind::Data, PEER + 1, seq, ack), 0, &[0; 1000]);
    }
    hand.take();
    let answer = hand.seen.last().unwrap();
    assert_eq!((answer.ack, answer.window), (19, window_bytes), "all is acknowledged");
    assert_eq!(hand.sockets.read(hand.now, hand.stream), None);
}

#[test]
fn behind_a_proxy_a_call_to_a_name_is_answered_from_the_peers_own_address_and_by_nobody_who_guesses() {
    let mut sockets = Sockets::new(config(), Rng::new([3; 32]));
    let now = Instant::from_micros(1_000_000);
    let name: SocketAddr = "240.0.0.1:7".parse().unwrap();
    let peer: SocketAddr = "198.51.100.7:7".parse().unwrap();
    let stream = sockets.connect(now, LOCAL, name).unwrap();
    let call = sockets.next_packets(now, LOCAL, 65_536).unwrap();
    assert_eq!(call.to, name);
    let called = crate::wire::utp::Packet::parse(&call.data).unwrap().header;
    let mut answer = |from: SocketAddr, kind, id, ack| {
        let datagram = header(kind, id, 77, ack).encode(0).to_vec();
        sockets.on_datagram(now, &arrival(from, datagram))
    };
    let (id, place) = (called.connection_id, called.seq);
    let other_port: SocketAddr = "198.51.100.7:8".parse().unwrap();
    assert!(!answer(other_port, Kind::State, id, place), "another port");
    assert!(!answer(peer, Kind::State, id.wrapping_add(1), place), "another number");
    assert!(!answer(peer, Kind::State, id, place.wrapping_add(1)), "what was never sent");
    assert!(answer(peer, Kind::State, id, place));
    assert!(!answer("203.0.113.9:7".parse().unwrap(), Kind::State, id, place), "it is answered already");
    assert!(!answer(name, Kind::State, id, place), "and no longer at the name's stand-in");
    let connected = core::iter::from_fn(|| sockets.next_event()).any(|it| it == UtpEvent::Connected(stream));
    assert!(connected);
    sockets.write(now, stream, [Chunk::from([1; 10].to_vec())]);
    let sent: Vec<SocketAddr> =
        core::iter::from_fn(|| Some(sockets.next_packets(now, LOCAL, 65_536)?.to)).collect();
    assert_eq!(sent.last(), Some(&peer), "{sent:?}");
}
