//! Streams over a path with a mind of its own, and with peers that mean harm. The path is in `path`.

mod hostile;
mod path;

use super::*;
use crate::base::Chunk;
use path::{Flow, Path, World, run, run_for};
use std::vec::Vec;

fn config() -> UtpConfig {
    UtpConfig::default()
}

fn transfer(seed: u8, path: Path, total: u64) -> u64 {
    let (mut world, near, far) = World::connected(seed, path, &config());
    let there = Flow::new((0, near), (1, far), total);
    let back = Flow::new((1, far), (0, near), total / 4);
    run(&mut world, &mut [there, back], 600_000)
}

#[test]
fn a_transfer_is_exact_over_a_calm_path() {
    for seed in 0..3 {
        assert!(transfer(seed, Path::default(), 2 << 20) < 2000);
    }
}

#[test]
fn a_transfer_is_exact_whatever_the_path_does_to_packets() {
    for seed in 0..4 {
        transfer(seed, Path { loss_per_mille: 100, ..Path::default() }, 200_000);
        transfer(seed, Path { jitter_ms: 40, ..Path::default() }, 400_000);
        transfer(seed, Path { twice_per_mille: 300, ..Path::default() }, 400_000);
        let all = Path { loss_per_mille: 50, jitter_ms: 30, twice_per_mille: 100, ..Path::default() };
        transfer(seed, all, 200_000);
        let narrow = Path { rate: 200_000, queue_bytes: 10_000, loss_per_mille: 10, ..Path::default() };
        transfer(seed, narrow, 400_000);
    }
}

#[test]
fn places_wrap_without_harm() {
    // More packets than there are places.
    let mut config = config();
    config.packet_bytes_max = 548;
    let path = Path { delay_ms: 1, loss_per_mille: 1, ..Path::default() };
    let (mut world, near, far) = World::connected(1, path, &config);
    run(&mut world, &mut [Flow::new((0, near), (1, far), 40 << 20)], 600_000);
    assert!(world.sent_datagrams[0] > 70_000, "{}", world.sent_datagrams[0]);
}

#[test]
fn with_one_percent_loss_and_fifty_milliseconds_a_stream_holds_its_rate() {
    let path = Path { delay_ms: 25, loss_per_mille: 10, ..Path::default() };
    let rates = [7, 21, 22].map(|seed| {
        let (mut world, near, far) = World::connected(seed, path.clone(), &config());
        let mut flow = [Flow::new((0, near), (1, far), u64::MAX >> 1)];
        run_for(&mut world, &mut flow, 60_000)[0] / 60
    });
    std::println!("1 % lost each way, 50 ms: {rates:?} bytes a second");
    // Mathis: packet / round trip * sqrt(3 / 2p) is 340 KB/s for a gain of one packet.
    assert!(rates.iter().all(|&rate| rate > 340_000), "{rates:?} bytes a second");
}

#[test]
fn ledbat_fills_an_empty_bottleneck_and_keeps_its_queue_near_the_target() {
    let path = Path { rate: 1_000_000, queue_bytes: 1_000_000, ..Path::default() };
    let (mut world, near, far) = World::connected(3, path, &config());
    let mut flow = [Flow::new((0, near), (1, far), u64::MAX >> 1)];
    run_for(&mut world, &mut flow, 10_000);
    let delivered = run_for(&mut world, &mut flow, 20_000)[0] / 20;
    assert!(delivered > 900_000, "{delivered} bytes a second");
}

#[test]
fn ledbat_yields_to_a_flow_that_fills_the_queue() {
    std::println!(
        "| queue, ms | alone | beside it | the flow beside it | when it is gone |\n|---:|---:|---:|---:|---:|"
    );
    for (seed, queue_ms) in [(4, 300), (13, 600), (14, 1000)] {
        let path = Path { rate: 1_000_000, queue_bytes: queue_ms * 1000, ..Path::default() };
        let (mut world, near, far) = World::connected(seed, path, &config());
        let mut flow = [Flow::new((0, near), (1, far), u64::MAX >> 1)];
        run_for(&mut world, &mut flow, 10_000);
        let alone = run_for(&mut world, &mut flow, 10_000)[0] / 10;
        world.rival();
        run_for(&mut world, &mut flow, 10_000);
        let before = world.rival.as_ref().unwrap().delivered;
        let ours = run_for(&mut world, &mut flow, 30_000)[0] / 30;
        let theirs = (world.rival.as_ref().unwrap().delivered - before) / 30;
        world.rival = None;
        run_for(&mut world, &mut flow, 5_000);
        let again = run_for(&mut world, &mut flow, 10_000)[0] / 10;
        let [alone_kb, ours_kb, theirs_kb, again_kb] = [alone, ours, theirs, again].map(|rate| rate / 1000);
        std::println!("| {queue_ms} | {alone_kb} | {ours_kb} | {theirs_kb} | {again_kb} |");
        assert!(theirs > 4 * ours, "ours {ours}, theirs {theirs} bytes a second");
        assert!(again > 800_000, "{again} bytes a second when the other is gone");
    }
}

#[test]
fn two_streams_share_a_bottleneck() {
    for late_ms in [0, 15_000] {
        let path = Path { rate: 1_000_000, queue_bytes: 600_000, ..Path::default() };
        let (mut world, near, far) = World::connected(5, path, &config());
        let mut first = [Flow::new((0, near), (1, far), u64::MAX >> 1)];
        run_for(&mut world, &mut first, late_ms);
        let (near, far) = world.connect();
        let [first] = first;
        let mut both = [first, Flow::new((0, near), (1, far), u64::MAX >> 1)];
        run_for(&mut world, &mut both, 60_000);
        let shares = run_for(&mut world, &mut both, 60_000);
        let (less, more) = (shares[0].min(shares[1]), shares[0].max(shares[1]));
        assert!(less * 4 > more, "{late_ms}: {shares:?}");
        assert!(less + more > 48_000_000, "{late_ms}: {shares:?}");
    }
}

#[test]
fn a_larger_path_is_found_and_a_black_hole_is_survived() {
    let mut config = config();
    config.packet_bytes_max = 32_768;
    for refuses in [false, true] {
        let path = Path { mtu: 9000, refuses, ..Path::default() };
        let (mut world, near, far) = World::connected(6, path, &config);
        let mut flow = [Flow::new((0, near), (1, far), 20 << 20)];
        run(&mut world, &mut flow, 60_000);
        let datagrams = world.sent_datagrams[0];
        assert!(datagrams < (20 << 20) / 6000, "{datagrams}");
    }
}

#[test]
fn small_writes_share_packets_and_answers_wait_for_company() {
    let (mut world, near, far) = World::connected(8, Path::default(), &config());
    let before = world.sent_datagrams;
    for _ in 0..1000 {
        world.ends[0].write(world.now, near, [Chunk::copy_from(&[7; 17])]);
        world.flush();
    }
    let mut read = 0;
    for _ in 0..100 {
        world.step();
        while let Some(data) = world.ends[1].read(world.now, far) {
            read += data.len();
        }
    }
    assert_eq!(read, 17_000);
    let sent = [world.sent_datagrams[0] - before[0], world.sent_datagrams[1] - before[1]];
    assert!(sent[0] < 40 && sent[1] < 20, "{sent:?}");
}

#[test]
fn an_end_reaches_the_other_side_behind_all_bytes_and_the_other_half_stays_open() {
    let path = Path { loss_per_mille: 50, ..Path::default() };
    let (mut world, near, far) = World::connected(9, path, &config());
    let mut there = Flow::new((0, near), (1, far), 100_000);
    while there.written < there.total {
        there.pump(&mut world);
        world.step();
    }
    world.ends[0].finish(world.now, near);
    while !there.is_done() {
        there.pump(&mut world);
        world.step();
    }
    for _ in 0..200 {
        world.step();
    }
    assert!(world.events[1].contains(&UtpEvent::Finished(far)));
    assert_eq!(world.closed(1, far), None, "it may still send");
    world.ends[1].finish(world.now, far);
    for _ in 0..500 {
        world.step();
    }
    assert!(world.ends[0].is_empty() && world.ends[1].is_empty());
}

#[test]
fn a_stream_whose_path_died_ends_and_a_call_that_nobody_answers_too() {
    let (mut world, near, _far) = World::connected(10, Path::default(), &config());
    world.path.loss_per_mille = 1000;
    world.ends[0].write(world.now, near, [Chunk::copy_from(b"anyone?")]);
    let call = world.ends[0].connect(world.now, path::LOCAL, path::addr(1)).unwrap();
    let end = world.after(180_000);
    while world.now < end {
        world.step();
    }
    assert_eq!(world.closed(0, near), Some(CloseReason::TimedOut));
    assert_eq!(world.closed(0, call), Some(CloseReason::TimedOut));
}

#[test]
fn an_idle_stream_keeps_its_path_alive_and_costs_little() {
    let (mut world, _, _) = World::connected(11, Path::default(), &config());
    let before = world.sent_datagrams;
    let end = world.after(300_000);
    while world.now < end {
        world.step();
    }
    let sent: Vec<u64> = (0..2).map(|n| world.sent_datagrams[n] - before[n]).collect();
    assert!(sent.iter().all(|&n| (9..=24).contains(&n)), "{sent:?}");
}

#[test]
fn a_reader_that_stops_closes_the_window_and_opens_it_again() {
    let (mut world, near, far) = World::connected(12, Path::default(), &config());
    let mut flow = Flow::new((0, near), (1, far), 4 << 20);
    let end = world.after(60_000);
    while world.now < end {
        let room = world.ends[0].space(near);
        if flow.written < flow.total && room > 0 {
            // Written, but not read.
            let mut writer = Flow::new((0, near), (0, near), flow.total);
            writer.written = flow.written;
            writer.pump(&mut world);
            flow.written = writer.written;
        }
        world.step();
    }
    let mut waiting = 0;
    assert_eq!(world.closed(0, near), None, "a closed window isn't a dead path");
    assert!(flow.written < flow.total);
    while let Some(data) = world.ends[1].read(world.now, far) {
        waiting += data.len() as u64;
        flow.read += data.len() as u64;
    }
    assert!(waiting <= u64::from(config().window_bytes) + 1452, "{waiting}");
    run(&mut world, &mut [flow], 60_000);
}
