//! Plans from options to torrent files that the parser takes.

use super::*;
use crate::base::{BLOCK, Rng};
use crate::wire::metainfo::{Metainfo, Version};
use alloc::string::String;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The bytes of a made-up file.
fn bytes(length: u64, seed: u8) -> Vec<u8> {
    (0..length).map(|n| (n as u8).wrapping_mul(31).wrapping_add((n >> 8) as u8) ^ seed).collect()
}

fn file(path: &str, length: u64) -> CreateFile {
    let path = path.split('/').map(Into::into).collect();
    CreateFile { path, length, ..CreateFile::default() }
}

/// Hashes one job as a driver would; each file's seed is its path's length.
fn hash(plan: &Plan, job: &CreateJob) -> Digests {
    let files: Vec<(&[String], u64)> = plan.files().collect();
    let part = |extent: &Extent| {
        let (path, length) = files[extent.file as usize];
        let from = extent.offset as usize;
        bytes(length, path.len() as u8)[from..from + extent.length as usize].to_vec()
    };
    let data: Vec<u8> = job.extents.iter().flat_map(part).collect();
    let leaf = |block: &[u8]| Sha256::digest(block).into();
    let leaves = if job.want.leaves { data.chunks(BLOCK as usize).map(leaf).collect() } else { Vec::new() };
    let padded = [data, vec![0; job.pad as usize]].concat();
    Digests { sha1: job.want.sha1.then(|| Sha1::digest(&padded).into()), leaves }
}

/// Makes a torrent; the digests come in an order drawn from `seed`.
fn make(options: CreateOptions, seed: u8) -> Vec<u8> {
    let mut plan = Plan::new(options).unwrap();
    let mut jobs: Vec<CreateJob> = core::iter::from_fn(|| plan.next_job()).collect();
    assert_eq!(jobs.len() as u32, plan.pieces());
    Rng::new([seed; 32]).shuffle(&mut jobs);
    for job in &jobs {
        let digests = hash(&plan, job);
        plan.on_digests(job.piece, &digests).unwrap();
        plan.on_digests(job.piece, &digests).unwrap();
    }
    let (done, length) = plan.progress();
    assert_eq!(done, length, "each byte counts once");
    plan.finish().unwrap()
}

fn options(version: Version) -> CreateOptions {
    let files = vec![file("b/two", 100_000), file("a", 40_000), file("b/empty", 0), file("b/one", 5)];
    CreateOptions { piece_length: Some(32_768), version, ..CreateOptions::new("folder", files) }
}

#[test]
fn the_default_piece_length_makes_about_1500_pieces() {
    let kib = 1 << 10;
    let lengths = [1, 1500 * 16 * kib, 3000 * 16 * kib, 1 << 30, 100 << 30, 1 << 50];
    let pieces = [16 << 10, 16 << 10, 32 << 10, 512 << 10, 16 << 20, 16 << 20];
    assert_eq!(lengths.map(default_piece_length), pieces);
    for exponent in 26..34 {
        let count = (1u64 << exponent) / u64::from(default_piece_length(1 << exponent));
        assert!((1_000..=2_121).contains(&count), "{count} pieces");
    }
}

#[test]
fn every_version_reads_back_with_its_files_in_bep_0052s_order() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let torrent = make(options(version), 1);
        let metainfo = Metainfo::parse(&torrent).unwrap();
        assert_eq!(metainfo.info.version(), version);
        let paths: Vec<String> = metainfo.info.real_files().map(|(_, file)| file.path.join("/")).collect();
        assert_eq!(paths, ["a", "b/empty", "b/one", "b/two"]);
        assert_eq!(metainfo.info.length(), 140_005);
        assert_eq!(metainfo.creation_date, None);
        assert_eq!(metainfo.created_by.as_deref(), Some(CREATED_BY));
    }
}

#[test]
fn the_same_input_gives_the_same_torrent_in_whatever_order() {
    let mut other = options(Version::Hybrid);
    other.files.reverse();
    assert_eq!(make(options(Version::Hybrid), 1), make(other, 2));
}

#[test]
fn a_hybrids_files_are_aligned_by_pad_and_the_last_one_has_none_behind_it() {
    let mut plan = Plan::new(options(Version::Hybrid)).unwrap();
    let jobs: Vec<CreateJob> = core::iter::from_fn(|| plan.next_job()).collect();
    let pads: Vec<u32> = jobs.iter().map(|job| job.pad).collect();
    assert_eq!(pads, [0, 2 * 32_768 - 40_000, 32_768 - 5, 0, 0, 0, 0]);
    assert!(jobs.iter().all(|job| job.extents.len() == 1));
    let mut v2 = Plan::new(options(Version::V2)).unwrap();
    assert!(core::iter::from_fn(|| v2.next_job()).all(|job| job.pad == 0 && !job.want.sha1));
}

#[test]
fn a_v1_piece_goes_over_the_ends_of_files() {
    let mut plan = Plan::new(options(Version::V1)).unwrap();
    let jobs: Vec<CreateJob> = core::iter::from_fn(|| plan.next_job()).collect();
    let second: Vec<(u32, u64, u32)> = jobs[1].extents.iter().map(|e| (e.file, e.offset, e.length)).collect();
    assert_eq!(second, [(0, 32_768, 7_232), (2, 0, 5), (3, 0, 25_531)]);
    assert_eq!((jobs.len(), jobs[4].pad), (5, 0));
}

#[test]
fn digests_agree_with_hashing_the_whole_span() {
    let metainfo = Metainfo::parse(&make(options(Version::Hybrid), 3)).unwrap();
    let mut span = bytes(40_000, 1);
    span.resize(65_536, 0);
    span.extend(bytes(5, 2));
    span.resize(3 * 32_768, 0);
    span.extend(bytes(100_000, 2));
    let digests: Vec<[u8; 20]> = span.chunks(32_768).map(|piece| Sha1::digest(piece).into()).collect();
    assert_eq!(metainfo.info.v1_digests(), digests);
    let leaf = |block: &[u8]| merkle::leaf(block);
    let roots: Vec<Hash> = [bytes(40_000, 1), bytes(5, 2), bytes(100_000, 2)]
        .iter()
        .map(|data| merkle::root(&data.chunks(BLOCK as usize).map(leaf).collect::<Vec<_>>(), [0; 32]))
        .collect();
    let got: Vec<Hash> = metainfo.info.real_files().filter_map(|(_, file)| file.pieces_root).collect();
    assert_eq!(got, roots);
}

#[test]
fn one_file_needs_no_folder() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let files = vec![file("elsewhere", 50_000)];
        let options = CreateOptions { version, multi_file: false, ..CreateOptions::new("name.bin", files) };
        let metainfo = Metainfo::parse(&make(options, 0)).unwrap();
        assert!(!metainfo.info.is_multi_file());
        assert_eq!(
            (metainfo.info.name(), metainfo.info.files()[0].path.join("/")),
            ("name.bin", "name.bin".into())
        );
    }
}

#[test]
fn wrong_digests_are_the_hosts_fault_and_missing_ones_are_named() {
    let mut plan = Plan::new(options(Version::Hybrid)).unwrap();
    let job = plan.next_job().unwrap();
    let good = hash(&plan, &job);
    let no_sha1 = Digests { sha1: None, ..good.clone() };
    let short = Digests { leaves: good.leaves[..1].to_vec(), ..good.clone() };
    assert_eq!(plan.on_digests(0, &no_sha1), Err(CreateError::Digests(0)));
    assert_eq!(plan.on_digests(0, &short), Err(CreateError::Digests(0)));
    assert_eq!(plan.on_digests(1, &good), Err(CreateError::Digests(1)), "not handed out yet");
    assert_eq!(plan.on_digests(0, &good), Ok(()));
    assert_eq!(plan.progress(), (32_768, 140_005));
    assert_eq!(plan.finish(), Err(CreateError::Unfinished(6)));
}

#[test]
fn what_can_make_no_torrent_is_refused_before_any_hashing() {
    let with = |files: Vec<CreateFile>| Plan::new(CreateOptions::new("n", files)).err().unwrap();
    assert_eq!(with(vec![]), OptionsError::Empty);
    assert_eq!(with(vec![file("a", 0)]), OptionsError::Empty);
    assert_eq!(with(vec![file("a/../b", 1)]), OptionsError::Name("..".into()));
    assert_eq!(with(vec![file("a//b", 1)]), OptionsError::Name("".into()));
    assert_eq!(with(vec![file("a", 1), file("b", 1), file("a", 2)]), OptionsError::Twice(vec!["a".into()]));
    assert_eq!(
        with(vec![file("a/b", 1), file("a!", 1), file("a", 2)]),
        OptionsError::Twice(vec!["a".into()])
    );
    assert_eq!(with(vec![file("a", u64::MAX), file("b", 1)]), OptionsError::TooLarge);
    let link = CreateFile { symlink: Some(vec!["b".into()]), ..file("a", 1) };
    assert_eq!(with(vec![link, file("b", 1)]), OptionsError::Link(vec!["a".into()]));
    let new = |change: fn(&mut CreateOptions)| {
        let mut options = options(Version::Hybrid);
        change(&mut options);
        Plan::new(options).err().unwrap()
    };
    assert_eq!(new(|o| o.name = "..".into()), OptionsError::Name("..".into()));
    assert_eq!(new(|o| o.multi_file = false), OptionsError::NoFolder(4));
    assert_eq!(new(|o| o.piece_length = Some(20_000)), OptionsError::PieceLength(20_000));
    assert_eq!(new(|o| o.piece_length = Some(0)), OptionsError::PieceLength(0));
    let many = new(|o| {
        o.files[0].length = 1 << 50;
        o.piece_length = Some(16_384);
    });
    assert!(matches!(many, OptionsError::Pieces { max: options::PIECES_MAX, .. }));
}

#[test]
fn trackers_web_seeds_and_flags_are_in_the_torrent() {
    let made = make(
        CreateOptions {
            private: true,
            trackers: vec![vec!["http://a/announce".into()], vec!["udp://b:1".into()]],
            web_seeds: vec!["http://w/".into()],
            comment: Some("hello".into()),
            ..options(Version::Hybrid)
        },
        0,
    );
    let metainfo = Metainfo::parse(&made).unwrap();
    assert!(metainfo.info.is_private());
    assert_eq!((metainfo.trackers.len(), metainfo.web_seeds.len()), (2, 1));
    assert_eq!(metainfo.comment.as_deref(), Some("hello"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

#[test]
fn bep_0052_info_hashes_are_those_of_the_beps_own_creator() {
    let alone = |name: &str, length, piece_length| CreateOptions {
        multi_file: false,
        piece_length: Some(piece_length),
        ..CreateOptions::new(name, vec![file("x", length)])
    };
    let hashes = |options| {
        let info = Metainfo::parse(&make(options, 7)).unwrap().info;
        (info.info_hash().map(|hash| hex(&hash.0)), info.info_hash_v2().map(|hash| hex(&hash.0)).unwrap())
    };
    let folder = "3ee2ff4026807931ea402e461d9e3902039ec2700830ad4a34e9670a3159752a";
    assert_eq!(hashes(options(Version::V2)), (None, folder.into()));
    let small = (
        Some("a217c83029d625fc244e94829654109d86c7056d".into()),
        "64c4bb3ae6e10b9300dc0a991f16a59e721c12f1ab63a2ba148f3e971f617bd8".into(),
    );
    assert_eq!(hashes(alone("name.bin", 50_000, 16_384)), small);
    let big = (
        Some("6be02bafd115b2793342d716c0fd830d39c0eac6".into()),
        "c7d61cd09dccff5f5aee170f098d8356aaa5ef44850b5f7b4860d6336e901676".into(),
    );
    assert_eq!(hashes(alone("big.bin", 1_200_000, 65_536)), big);
}
