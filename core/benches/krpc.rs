//! What a DHT packet costs: `cargo bench -p millstream-core --bench krpc`. Prints; judges nothing.

use core::hint::black_box;
use core::net::SocketAddr;
use millstream_core::base::{Instant, Rng};
use millstream_core::dht::{DhtConfig, Family, Node};
use millstream_core::wire::krpc::Message;
use std::io::Write as _;

const ROUNDS: u32 = 1_000_000;

fn main() {
    let query = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:v4:MS011:y1:qe";
    line("read a get_peers query", || {
        let _ = black_box(Message::parse(black_box(&query[..])));
    });
    let message = Message::parse(query).expect("it is KRPC");
    let mut out = Vec::new();
    line("write it", || {
        out.clear();
        message.write(black_box(&mut out));
    });
    let now = Instant::from_micros(1);
    let config = DhtConfig {
        address_queries_per_second_max: u32::MAX,
        dht_reply_bytes_per_second: u64::MAX >> 8,
        dht_proved_reply_bytes_per_second: u64::MAX >> 8,
        reply_bytes_per_second_max: u64::MAX >> 8,
        read_only: false,
        ..DhtConfig::default()
    };
    let mut node = Node::new(config, Rng::new([7; 32]), now);
    node.on_bound(now, Family::V4);
    while node.next_datagram(Family::V4).is_some() {}
    let from: SocketAddr = SocketAddr::new([81, 2, 3, 4].into(), 6881);
    line("answer it, with an empty table", || {
        node.on_datagram(now, from, black_box(&query[..]));
        while node.next_datagram(Family::V4).is_some() {}
    });
}

fn line(what: &str, mut act: impl FnMut()) {
    (0..ROUNDS / 10).for_each(|_| act());
    let start = std::time::Instant::now();
    (0..ROUNDS).for_each(|_| act());
    let each = start.elapsed().as_nanos() / u128::from(ROUNDS);
    writeln!(std::io::stdout(), "{what:<42} {each} ns").ok();
}
