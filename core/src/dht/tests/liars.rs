//! What those who answer may try: many faces of one, false names for others, votes, filters, old versions.

use super::*;

/// Answers all that came to hosts without a node, as `reply` says.
fn reply(network: &mut Network, reply: impl Fn(SocketAddr) -> Option<Vec<u8>>) {
    for (addr, letters) in core::mem::take(&mut network.mail) {
        for letter in letters.iter().filter(|letter| is_query(letter)) {
            let Some(answer) = reply(addr) else { continue };
            let transaction = Message::parse(letter).unwrap().transaction;
            let answer = [&answer[..], b"1:t4:", transaction, b"1:y1:re"].concat();
            network.post(addr, host(0), &answer);
        }
    }
}

#[test]
fn bep_0042_a_network_has_one_voice_on_what_our_address_is() {
    let mut network = Network::of(1);
    let id = network.node(0).id(Family::V4);
    let voices = |network: &mut Network, addrs: &[SocketAddr], lie: &[u8; 6]| {
        for &addr in addrs {
            network.with(0, |node, now| node.on_node(now, addr));
        }
        network.run(DELAY);
        let of = |addr: SocketAddr| NodeId::random(&mut Rng::new([(addr.port() % 251) as u8; 32])).0;
        reply(network, |addr| Some([b"d2:ip6:", &lie[..], b"1:rd2:id20:", &of(addr), b"e"].concat()));
        network.run(DELAY);
        network.node(0).status(Instant::ZERO).families[0].external
    };
    let crowd: Vec<_> = (1..=20).map(|n| SocketAddr::new([81, 5, 5, n].into(), 6881)).collect();
    assert_eq!(voices(&mut network, &crowd, b"\x48\x06\x06\x06xx"), None, "however many addresses it has");
    assert_eq!(network.node(0).id(Family::V4), id);
    let others: Vec<_> = (600..603).map(host).collect();
    let ours = voices(&mut network, &others, b"\x51\x02\x03\x04xx");
    assert_eq!(ours, Some([81, 2, 3, 4].into()), "others outvote it");
}
