//! A swarm of pickers without a network: rarest first spreads the pieces.

use super::*;

struct Node {
    picker: Picker,
}

/// One seed that sends one piece a round, and leeches that each send one. Answers the rounds until all have all, and how
/// many pieces the seed sent.
fn rounds(sequential: bool, leeches: usize, pieces: u32) -> (u32, u32) {
    let w = World::new(pieces, 1);
    let mut rng = Rng::new([3; 32]);
    let mut nodes: Vec<Node> = (0..leeches)
        .map(|_| {
            let mut picker = World::new(pieces, 1).picker;
            picker.set_sequential(sequential);
            picker.on_pieces(PeerPieces::All);
            let none = w.bits(&[]);
            (1..leeches).for_each(|_| picker.on_pieces(PeerPieces::Some(&none)));
            Node { picker }
        })
        .collect();
    let (mut round, mut from_seed) = (0, 0);
    while nodes.iter().any(|node| !node.picker.is_complete()) {
        round += 1;
        assert!(round < 10_000, "the swarm stands still");
        let have: Vec<Bits> = nodes.iter().map(|node| node.picker.have().clone()).collect();
        let seeded = round as usize % leeches;
        for sender in 0..=leeches {
            let receiver = if sender == leeches {
                seeded
            } else {
                (sender + 1 + round as usize % (leeches - 1)) % leeches
            };
            let has = have.get(sender).map_or(PeerPieces::All, PeerPieces::Some);
            let wish = Pick { pieces: has, ..w.wish(sender as u32, 1) };
            let mut out = Vec::new();
            let picker = &mut nodes[receiver].picker;
            picker.pick(&mut rng, &wish, &mut out);
            let Some(block) = out.first() else { continue };
            let _ = picker.on_block(SourceId(sender as u32), *block);
            assert!(picker.on_verified(block.piece) && picker.on_written(block.piece));
            from_seed += u32::from(sender == leeches);
            for (n, node) in nodes.iter_mut().enumerate() {
                if n != receiver {
                    node.picker.on_have(block.piece);
                }
            }
        }
    }
    nodes.iter().for_each(|node| node.picker.check());
    (round, from_seed)
}

#[test]
fn rarest_first_spreads_the_pieces_and_spares_the_seed() {
    let (rounds_rarest, sent_rarest) = rounds(false, 8, 200);
    let (rounds_sequential, _) = rounds(true, 8, 200);
    assert!(rounds_rarest < rounds_sequential, "{rounds_rarest} against {rounds_sequential}");
    assert!(sent_rarest < 300, "the seed sent {sent_rarest} pieces of 200");
}
