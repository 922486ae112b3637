//! Torrents of all kinds, honest and hostile.

use super::*;
use crate::base::{Extent, Part, Rng};
use crate::wire::merkle::{self, Hash};
use crate::wire::path::PathRules;
use alloc::string::ToString;
use alloc::vec;
use sha1::{Digest, Sha1};

const UNIT: u32 = 16_384;

fn string(bytes: &[u8]) -> Vec<u8> {
    [bytes.len().to_string().as_bytes(), b":", bytes].concat()
}

/// A v1 info dictionary of these files (attributes, length, path) in pieces of `UNIT`.
fn v1_list(files: &[(&str, u64, &str)]) -> Vec<u8> {
    let mut list = Vec::new();
    for (attr, length, path) in files {
        list.extend(alloc::format!("d4:attr{}:{attr}6:lengthi{length}e4:pathl", attr.len()).into_bytes());
        path.split('/').for_each(|c| list.extend(string(c.as_bytes())));
        list.extend(b"ee");
    }
    let span: u64 = files.iter().map(|(_, length, _)| length).sum();
    let pieces = string(&vec![7; 20 * span.div_ceil(u64::from(UNIT)) as usize]);
    [b"d5:filesl", &list[..], b"e4:name1:t12:piece lengthi16384e6:pieces", &pieces, b"e"].concat()
}

fn data(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|n| (n as u8).wrapping_mul(31) ^ salt).collect()
}

/// A v2 entry with its true tree.
fn entry(path: &str, content: &[u8], piece_length: u32) -> FileEntry {
    let leaves: Vec<Hash> = content.chunks(UNIT as usize).map(merkle::leaf).collect();
    let height = merkle::piece_layer(piece_length);
    let layer: Vec<Hash> =
        leaves.chunks(1 << height).map(|p| merkle::root_of_height(p, height, [0; 32])).collect();
    FileEntry {
        path: path.split('/').map(Into::into).collect(),
        length: content.len() as u64,
        pieces_root: (!content.is_empty()).then(|| merkle::root(&leaves, [0; 32])),
        layer: if content.len() > piece_length as usize { layer } else { Vec::new() },
        ..FileEntry::default()
    }
}

/// A folder of files, as version; v1 digests are true.
fn folder(version: Version, files: &[(&str, Vec<u8>)], piece_length: u32) -> InfoBuilder {
    let mut info = InfoBuilder::new("folder", piece_length, version);
    info.multi_file = true;
    info.files = files.iter().map(|(path, content)| entry(path, content, piece_length)).collect();
    info.sort();
    let content = |path: &[String]| &files.iter().find(|f| f.0 == path.join("/")).unwrap().1;
    let mut span = Vec::new();
    for placement in info.layout() {
        match placement {
            Placement::File(n) => span.extend_from_slice(content(&info.files[n].path)),
            Placement::Pad(pad) => span.resize(span.len() + pad as usize, 0),
        }
    }
    info.v1_digests = span.chunks(piece_length as usize).map(|p| Sha1::digest(p).into()).collect();
    info
}

fn sample() -> Vec<(&'static str, Vec<u8>)> {
    vec![("b/long", data(100_000, 1)), ("a", data(5, 2)), ("empty", vec![]), ("b/z", data(32_768, 3))]
}

fn file_fault(error: MetainfoError) -> (String, FileFault) {
    let MetainfoError::File { file, fault } = error else { panic!("not a file's fault: {error}") };
    (file, fault)
}

#[test]
fn bep_0003_a_single_file_torrent() {
    let info = [&b"d6:lengthi5e4:name5:a.txt12:piece lengthi16384e6:pieces20:"[..], &[7; 20], b"e"].concat();
    let torrent = [b"d8:announce9:http://t/4:info", &info[..], b"e"].concat();
    let m = Metainfo::parse(&torrent).unwrap();
    assert_eq!(m.info.info_hash().unwrap().0, <[u8; 20]>::from(Sha1::digest(&info)));
    assert_eq!((m.info.version(), m.info.info_hash_v2()), (Version::V1, None));
    assert_eq!(&m.info.raw()[..], info);
    assert_eq!(m.info.v1_digests(), [[7; 20]]);
    assert_eq!(m.trackers, [["http://t/"]]);
    assert_eq!((m.info.length(), m.info.is_multi_file(), m.info.is_private()), (5, false, false));
    assert_eq!(m.info.storage_path(&m.info.files()[0]).collect::<Vec<_>>(), ["a.txt"]);
}

#[test]
fn pitfall_1_the_info_hash_is_of_the_original_bytes_even_unsorted() {
    let info = b"d12:piece lengthi16384e6:lengthi0e6:pieces0:4:name1:xe";
    let m = Metainfo::parse(&[b"d4:info", &info[..], b"7:comment1:ce"].concat()).unwrap();
    assert_eq!(m.info.info_hash().unwrap().0, <[u8; 20]>::from(Sha1::digest(info)));
    assert_eq!(m.comment.as_deref(), Some("c"));
    assert!(Metainfo::parse(&[b"d4:info", &info[..], b"4:infodee"].concat()).is_err(), "duplicate keys");
}

#[test]
fn an_empty_torrent_is_no_trouble() {
    let info = Info::parse(b"d6:lengthi0e4:name1:x12:piece lengthi16384e6:pieces0:e").unwrap();
    assert_eq!((info.geometry().pieces(), info.length(), info.extents(0, 10).count()), (0, 0, 0));
    let info = Info::parse(&v1_list(&[("", 0, "a"), ("", 0, "b")])).unwrap();
    assert_eq!((info.geometry().pieces(), info.real_files().count()), (0, 2));
    let info = Info::parse(b"d5:filesle4:name1:x12:piece lengthi16384e6:pieces0:e").unwrap();
    assert_eq!(info.files().len(), 0);
}

#[test]
fn bep_0012_tiers_stand_for_announce() {
    let info = b"d6:lengthi0e4:name1:x12:piece lengthi16384e6:pieces0:e";
    let list = b"ll1:a1:bel1:celee";
    let torrent = [b"d8:announce1:z13:announce-list", &list[..], b"4:info", info, b"e"].concat();
    assert_eq!(Metainfo::parse(&torrent).unwrap().trackers, [vec!["a", "b"], vec!["c"]]);
    let torrent = [b"d8:announce1:z13:announce-listle4:info", &info[..], b"e"].concat();
    assert_eq!(Metainfo::parse(&torrent).unwrap().trackers, [["z"]]);
}

#[test]
fn bep_0019_url_list_is_a_string_or_a_list() {
    let info = b"d6:lengthi0e4:name1:x12:piece lengthi16384e6:pieces0:e";
    let seeds = |list: &[u8]| Metainfo::parse(&[b"d4:info", &info[..], b"8:url-list", list, b"e"].concat());
    assert_eq!(seeds(b"8:http://a").unwrap().web_seeds, ["http://a"]);
    assert_eq!(seeds(b"l8:http://a8:http://be").unwrap().web_seeds, ["http://a", "http://b"]);
    assert!(seeds(b"0:").unwrap().web_seeds.is_empty() && seeds(b"i1e").unwrap().web_seeds.is_empty());
}

#[test]
fn bep_0017_httpseeds_are_passed_over_whatever_they_are() {
    let info = b"d6:lengthi0e4:name1:x12:piece lengthi16384e6:pieces0:e";
    for seeds in [&b"l8:http://ae"[..], b"8:http://a", b"i5e", b"d1:a1:be", b"le"] {
        let file = [b"d9:httpseeds", seeds, b"4:info", &info[..], b"8:url-list8:http://we"].concat();
        assert_eq!(Metainfo::parse(&file).unwrap().web_seeds, ["http://w"]);
    }
}

#[test]
fn pitfall_13_web_seed_urls() {
    let single = b"d6:lengthi0e4:name5:a b.c12:piece lengthi16384e6:pieces0:e";
    let single = Info::parse(single).unwrap();
    assert_eq!(single.web_seed_url("http://h/d/", &single.files()[0]), "http://h/d/a%20b.c");
    assert_eq!(single.web_seed_url("http://h/x.bin", &single.files()[0]), "http://h/x.bin");
    let multi = Info::parse(&v1_list(&[("", 1, "d #/é?")])).unwrap();
    assert_eq!(multi.files().len(), 1);
    for base in ["http://h", "http://h/"] {
        assert_eq!(multi.web_seed_url(base, &multi.files()[0]), "http://h/t/d%20%23/%C3%A9%3F");
    }
}

#[test]
fn bep_0027_private_is_in_the_info_dictionary() {
    let private = |n| alloc::format!("d6:lengthi0e4:name1:x12:piece lengthi16384e6:pieces0:7:privatei{n}ee");
    assert!(Info::parse(private(1).as_bytes()).unwrap().is_private());
    assert!(!Info::parse(private(0).as_bytes()).unwrap().is_private());
}

#[test]
fn bep_0047_pad_files_at_a_pieces_end_make_it_short() {
    let unit = u64::from(UNIT);
    let info = Info::parse(&v1_list(&[
        ("", 10, "a"),
        ("p", unit - 10, ".pad/16374"),
        ("xh", 20, "b"),
        ("p", 5, ".pad/5"),
        ("", 3, "c"),
        ("p", 7, ".pad/7"),
        ("p", 2 * unit, ".pad/x"),
    ]));
    let info = info.unwrap();
    let g = info.geometry();
    let lengths: Vec<u32> = g.iter().map(|p| g.length_of(p)).collect();
    assert_eq!(lengths, [10, 28, UNIT, 35], "the fourth ends with the span and is pad alone");
    assert_eq!(info.length(), 33);
    let parts: Vec<Part> = info.extents(unit, 100).collect();
    let file = |file, length| Part::Stored(Extent { file, offset: 0, length });
    assert_eq!(parts, [file(2, 20), Part::Pad(5), file(4, 3), Part::Pad(7), Part::Pad(65)]);
    let b = &info.files()[2].attributes;
    assert_eq!((b.executable, b.hidden, b.pad), (true, true, false));
}

#[test]
fn bep_0047_symlinks_stay_in_the_folder() {
    let link = |target: &str| {
        let files = alloc::format!("d5:filesld4:attr1:l4:pathl1:le12:symlink pathl{target}eee");
        let info = files + "4:name1:t12:piece lengthi16384e6:pieces0:e";
        Info::parse(info.as_bytes()).unwrap().files()[0].symlink.clone()
    };
    assert_eq!(link("3:dir1:f"), Some(vec!["dir".into(), "f".into()]));
    assert_eq!(link("2:..1:f"), None);
    assert_eq!(link("4:/etc"), None);
}

#[test]
fn pitfall_14_selection_counts_real_files_alone() {
    let info = Info::parse(&v1_list(&[("", 10, "a"), ("p", 16_374, "x"), ("", 1, "b")])).unwrap();
    let numbers: Vec<u32> = info.real_files().map(|(n, _)| n).collect();
    assert_eq!(numbers, [0, 2], "so=1 is `b`, which storage calls file 2");
}

#[test]
fn extents_skip_empty_files_and_end_with_the_span() {
    let info = Info::parse(&v1_list(&[("", 3, "a"), ("", 0, "e"), ("", 0, "f"), ("", 4, "b")])).unwrap();
    let file = |file, offset, length| Part::Stored(Extent { file, offset, length });
    assert_eq!(info.extents(2, u32::MAX).collect::<Vec<_>>(), [file(0, 2, 1), file(3, 0, 4)]);
    assert_eq!(info.extents(3, 1).collect::<Vec<_>>(), [file(3, 0, 1)]);
    assert_eq!(info.extents(7, 1).count() + info.extents(u64::MAX, 1).count(), 0);
}

#[test]
fn pitfall_18_hostile_paths_become_harmless_and_are_kept_raw() {
    let limits = MetainfoLimits { paths: PathRules::PORTABLE, ..MetainfoLimits::default() };
    let raw = v1_list(&[("", 1, "../x"), ("", 1, "CON"), ("", 1, "A"), ("", 1, "a"), ("", 1, "a/b")]);
    let info = Info::parse_within(&raw, &limits).unwrap();
    let paths: Vec<String> = info.files().iter().map(|f| f.path.join("/")).collect();
    assert_eq!(paths, ["__/x", "_CON", "A~1", "a~2", "a/b"]);
    assert_eq!(info.files()[0].raw_components().collect::<Vec<_>>(), [&b".."[..], b"x"]);
    assert!(info.files()[4].raw_path.is_empty());
    let named = b"d6:lengthi0e4:name11:/etc/passwd12:piece lengthi16384e6:pieces0:e";
    assert_eq!(Info::parse(named).unwrap().name(), "_etc_passwd");
    let dots = b"d5:filesld6:lengthi0e4:pathleee4:name2:..12:piece lengthi16384e6:pieces0:e";
    let info = Info::parse(dots).unwrap();
    assert_eq!(info.storage_path(&info.files()[0]).collect::<Vec<_>>(), ["__", "_"]);
}

#[test]
fn path_utf_8_is_preferred_if_it_is_utf_8() {
    let info = |path: &[u8]| {
        let file = [b"d6:lengthi0e4:pathl1:ae10:path.utf-8l", &string(path)[..], b"ee"].concat();
        let raw = [b"d5:filesl", &file[..], b"e4:name1:t12:piece lengthi16384e6:pieces0:e"].concat();
        Info::parse(&raw).unwrap().files()[0].path.join("/")
    };
    assert_eq!((info("é".as_bytes()), info(b"\xe9")), ("é".into(), "a".into()));
}

#[test]
fn pitfall_19_sizes_are_hostile() {
    let single = |length: &str, unit: &str, pieces: &str| {
        let text = alloc::format!("d6:lengthi{length}e4:name1:x12:piece lengthi{unit}e6:pieces{pieces}e");
        Info::parse(text.as_bytes()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(single("1", "0", "0:").contains("piece length of 0"));
    assert!(single("1", "1099511627776", "0:").contains("1099511627776"));
    assert!(single("9223372036854775807", "1", "0:").contains("overflow"));
    assert!(single("4611686018427387903", "1", "0:").contains("too many pieces"));
    assert!(single("-1", "1", "0:").contains("`length` is out of range"));
    assert!(single("1", "16384", "0:").contains("0 bytes where 1 pieces need 20 each"));
    assert!(single("1", "16384", "19:aaaaaaaaaaaaaaaaaaa").contains("19 bytes"));
    assert!(single("4194305", "1", "0:").contains("4194305 pieces"));
    let huge = b"d5:filesld6:lengthi9223372036854775807e4:pathl1:aeed6:lengthi9223372036854775807e4:pathl1:beee4:name1:t12:piece lengthi16384e6:pieces0:e";
    assert_eq!(Info::parse(huge).unwrap_err(), MetainfoError::Overflow("a".into()));
}

#[test]
fn pitfall_19_counts_are_bounded() {
    let raw = v1_list(&[("", 0, "a"), ("", 0, "b"), ("", 0, "c")]);
    let limits = MetainfoLimits { files_max: 2, ..MetainfoLimits::default() };
    assert_eq!(Info::parse_within(&raw, &limits).unwrap_err(), MetainfoError::TooManyFiles(2));
    let limits = MetainfoLimits { torrent_bytes_max: 10, ..MetainfoLimits::default() };
    assert!(matches!(Info::parse_within(&raw, &limits), Err(MetainfoError::TooLarge { max: 10, .. })));
    let limits = MetainfoLimits { paths_bytes_max: 120, ..MetainfoLimits::default() };
    assert_eq!(Info::parse_within(&raw, &limits).unwrap_err(), MetainfoError::PathsTooLong(120));
    let deep = [&b"d4:info"[..], &b"l".repeat(100_000)].concat();
    assert!(Metainfo::parse(&deep).unwrap_err().to_string().contains("nested too deep"));
}

#[test]
fn pitfall_19_a_small_tree_cannot_spell_enormous_paths() {
    let folder = [&b"d250:"[..], &[b'x'; 250]].concat();
    let files: Vec<u8> =
        (0..1_000).flat_map(|n| alloc::format!("4:{n:04}d0:d6:lengthi0eee").into_bytes()).collect();
    let tree = [folder.repeat(40).as_slice(), b"d", &files, b"e", &b"e".repeat(40)].concat();
    let raw = [b"d9:file tree", &tree[..], b"12:meta versioni2e4:name1:n12:piece lengthi16384ee"].concat();
    let limits = MetainfoLimits { paths_bytes_max: 1 << 20, ..MetainfoLimits::default() };
    assert_eq!(Info::parse_within(&raw, &limits).unwrap_err(), MetainfoError::PathsTooLong(1 << 20));
    assert_eq!(Info::parse(&raw).unwrap().files()[999].path.len(), 41);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let error = |raw: &[u8]| Info::parse(raw).unwrap_err().to_string();
    assert_eq!(error(b"d4:name1:xe"), "`piece length` is missing (at byte 0)");
    assert_eq!(error(b"d4:namei1ee"), "`name` is not a string (at byte 7)");
    assert_eq!(error(b"d4:name1:x12:piece lengthi1ee"), "`info` needs either `length` or `files`");
    assert!(error(b"d12:meta versioni3e4:name1:xe").starts_with("`meta version` is 3"));
    assert_eq!(Metainfo::parse(b"de").unwrap_err().to_string(), "`info` is missing (at byte 0)");
    assert_eq!(
        Metainfo::parse(b"<html>").unwrap_err().to_string(),
        "a value can't start with byte 0x3c (at byte 0)"
    );
}

#[test]
fn bep_0052_v2_files_are_aligned_and_have_roots() {
    let torrent = MetainfoBuilder::default().build(&folder(Version::V2, &sample(), 2 * UNIT)).unwrap();
    let info = Metainfo::parse(&torrent).unwrap().info;
    assert_eq!((info.version(), info.info_hash(), info.v1_digests().len()), (Version::V2, None, 0));
    let layout: Vec<_> = info.files().iter().map(|f| (f.path.join("/"), f.offset, f.length)).collect();
    let expected =
        [("a", 0, 5), ("b/long", 32_768, 100_000), ("b/z", 163_840, 32_768), ("empty", 196_608, 0)];
    assert_eq!(layout, expected.map(|(p, o, l)| (p.into(), o, l)));
    let g = info.geometry();
    let lengths: Vec<u32> = g.iter().map(|p| g.length_of(p)).collect();
    assert_eq!(lengths, [5, 32_768, 32_768, 32_768, 1_696, 32_768]);
    assert_eq!(info.extents(0, 10).collect::<Vec<_>>()[1], Part::Pad(5));
    let long = &info.files()[1];
    assert_eq!(info.layer(long).unwrap().len(), 4);
    assert_eq!(info.v2_piece(g.piece(0).unwrap()), Some((merkle::leaf(&data(5, 2)), 0)));
    assert_eq!(info.v2_piece(g.piece(4).unwrap()), Some((info.layer(long).unwrap()[3], 1)));
    assert_eq!(info.v2_piece(g.piece(5).unwrap()), Some((info.files()[2].pieces_root.unwrap(), 1)));
    assert_eq!(info.missing_layers().count(), 0);
}

#[test]
fn bep_0052_the_info_alone_reports_missing_layers() {
    let raw = folder(Version::Hybrid, &sample(), 2 * UNIT).build().unwrap();
    let info = Info::parse(&raw).unwrap();
    let missing: Vec<u32> = info.missing_layers().collect();
    let long = info.real_files().find(|(_, f)| f.length == 100_000).unwrap().0;
    assert_eq!(missing, [long]);
    let piece = info.geometry().piece(2).unwrap();
    assert_eq!(info.v2_piece(piece), None);
}

#[test]
fn pitfall_12_layers_are_verified_and_the_file_is_named() {
    let good = folder(Version::V2, &sample(), UNIT);
    let long = good.files.iter().position(|f| f.length == 100_000).unwrap();
    let fault = |change: &dyn Fn(&mut Vec<Hash>)| {
        let mut info = good.clone();
        change(&mut info.files[long].layer);
        file_fault(MetainfoBuilder::default().build(&info).unwrap_err())
    };
    let named = |fault| ("b/long".into(), fault);
    assert_eq!(fault(&|layer| layer[2][0] ^= 1), named(FileFault::LayerRoot));
    assert_eq!(fault(&|layer| layer.truncate(6)), named(FileFault::LayerSize));
    assert_eq!(fault(&|layer| layer.push([0; 32])), named(FileFault::LayerSize), "the same root, padded");
    assert_eq!(fault(&|layer| layer.clear()), named(FileFault::LayerMissing));
}

#[test]
fn pitfall_12_files_of_the_same_bytes_share_root_and_layer() {
    let files = [("a", data(50_000, 1)), ("b", data(50_000, 1))];
    let torrent = MetainfoBuilder::default().build(&folder(Version::Hybrid, &files, UNIT)).unwrap();
    let info = Metainfo::parse(&torrent).unwrap().info;
    let layers: Vec<_> = info.real_files().map(|(_, f)| info.layer(f).unwrap()).collect();
    assert_eq!((layers[0].len(), layers[0]), (4, layers[1]));
    assert_eq!(info.layers.len(), 4);
}

#[test]
fn bep_0052_a_hybrids_halves_describe_the_same_bytes() {
    let b = folder(Version::Hybrid, &sample(), UNIT);
    let info = Info::parse(&b.build().unwrap()).unwrap();
    assert_eq!(info.hashes().count(), 2);
    assert_eq!(info.v1_digests(), b.v1_digests);
    let paths: Vec<_> = info.real_files().map(|(n, f)| (n, f.path.join("/"))).collect();
    assert_eq!(paths, [(0, "a"), (2, "b/long"), (4, "b/z"), (5, "empty")].map(|(n, p)| (n, p.into())));
    let v2 = Info::parse(&folder(Version::V2, &sample(), UNIT).build().unwrap()).unwrap();
    assert_eq!(info.geometry(), &v2.geometry().clone().with_pad_asked(), "but who may ask for pad");
}

/// The hybrid above as text that can be bent; the digests are of no interest.
fn hybrid(list: &str, span_pieces: usize) -> Result<Info, MetainfoError> {
    let root = "r".repeat(32);
    let tree = alloc::format!(
        "d1:ad0:d6:lengthi5e11:pieces root32:{root}ee1:bd0:d6:lengthi7e11:pieces root32:{root}eee"
    );
    let pieces = "p".repeat(20 * span_pieces);
    let text = alloc::format!(
        "d9:file tree{tree}5:filesl{list}e12:meta versioni2e4:name1:n12:piece lengthi16384e6:pieces{}:{pieces}e",
        pieces.len()
    );
    Info::parse(text.as_bytes())
}

#[test]
fn pitfall_12_creators_differ_in_the_padding_of_the_last_file() {
    let (a, b) = ("d6:lengthi5e4:pathl1:aee", "d6:lengthi7e4:pathl1:bee");
    let pad = "d4:attr1:p6:lengthi16379ee";
    let without = hybrid(&[a, pad, b].concat(), 2).unwrap();
    assert_eq!((without.geometry().span(), without.length()), (16_391, 12));
    let last = "d4:attr1:p6:lengthi16377ee";
    let with = hybrid(&[a, pad, b, last].concat(), 2).unwrap();
    assert_eq!((with.geometry().span(), with.length(), with.geometry().length()), (32_768, 12, 12));
    let too_much = "d4:attr1:p6:lengthi16378ee";
    assert!(matches!(hybrid(&[a, pad, b, too_much].concat(), 3), Err(MetainfoError::HybridSpan { .. })));
}

#[test]
fn pitfall_12_halves_that_differ_are_refused() {
    let (a, b) = ("d6:lengthi5e4:pathl1:aee", "d6:lengthi7e4:pathl1:bee");
    let pad = "d4:attr1:p6:lengthi16379ee";
    assert_eq!(hybrid(a, 1).unwrap_err(), MetainfoError::HybridFiles { v1: 1, v2: 2 });
    assert!(matches!(hybrid(&[a, b].concat(), 1), Err(MetainfoError::HybridSpan { .. })), "not aligned");
    let c = "d6:lengthi7e4:pathl1:cee";
    assert_eq!(
        file_fault(hybrid(&[a, pad, c].concat(), 2).unwrap_err()),
        ("b".into(), FileFault::HybridPath)
    );
    let long = "d6:lengthi8e4:pathl1:bee";
    assert_eq!(file_fault(hybrid(&[a, pad, long].concat(), 2).unwrap_err()).1, FileFault::HybridLength);
    let (early, late) = ("d4:attr1:p6:lengthi16378ee", "d4:attr1:p6:lengthi1ee");
    assert_eq!(
        file_fault(hybrid(&[a, early, b, late].concat(), 2).unwrap_err()),
        ("b".into(), FileFault::HybridOffset)
    );
}

#[test]
fn bep_0052_the_example_tree() {
    let tree =
        |inner: &str| alloc::format!("d9:file tree{inner}12:meta versioni2e4:name1:n12:piece lengthi16384ee");
    let example =
        "d4:dir1d4:dir2d9:fileA.txtd0:d6:lengthi1024e11:pieces root32:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaeeeee";
    let info = Info::parse(tree(example).as_bytes()).unwrap();
    assert_eq!((info.files()[0].path.join("/"), info.is_multi_file()), ("dir1/dir2/fileA.txt".into(), true));
    let single = "d5:a.txtd0:d6:lengthi0eeee";
    assert!(!Info::parse(tree(single).as_bytes()).unwrap().is_multi_file());
    let fault = |inner: &str| file_fault(Info::parse(tree(inner).as_bytes()).unwrap_err());
    assert_eq!(fault("d1:ad0:d6:lengthi0ee1:bd0:d6:lengthi0eeeee"), ("a".into(), FileFault::FileAndFolder));
    assert_eq!(fault("d0:d6:lengthi0eee").1, FileFault::FileAndFolder);
    assert_eq!(fault("d1:ad0:d6:lengthi1eeee"), ("a".into(), FileFault::PiecesRoot));
    let odd = tree(single).replace("i16384e", "i16385e");
    assert_eq!(Info::parse(odd.as_bytes()).unwrap_err(), MetainfoError::PieceLengthV2(16_385));
}

#[test]
fn what_is_written_is_canonical_and_read_back() {
    let outer = MetainfoBuilder {
        trackers: vec![vec!["http://a".into(), "http://b".into()], vec!["udp://c:1".into()]],
        web_seeds: vec!["http://w/".into()],
        nodes: vec![("router".into(), 6881)],
        comment: Some("hello".into()),
        created_by: Some("millstream".into()),
        creation_date: Some(1_700_000_000),
    };
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let mut b = folder(version, &sample(), UNIT);
        b.private = true;
        b.source = Some("S".into());
        b.files[0].attributes.executable = true;
        let torrent = outer.build(&b).unwrap();
        let m = Metainfo::parse(&torrent).unwrap();
        assert_eq!(m.trackers, outer.trackers);
        assert_eq!((&m.web_seeds, &m.nodes), (&outer.web_seeds, &outer.nodes));
        assert_eq!((&m.comment, &m.created_by), (&outer.comment, &outer.created_by));
        assert_eq!((m.creation_date, m.info.source()), (outer.creation_date, Some("S")));
        assert!(m.info.is_private() && m.info.files()[0].attributes.executable);
        assert_eq!((m.info.version(), m.info.length()), (version, 132_773));
        let mut strict = bendy::decoding::Decoder::new(&torrent);
        let mut canonical = strict.next_object().unwrap().unwrap().try_into_dictionary().unwrap();
        while canonical.next_pair().unwrap().is_some() {}
    }
}

#[test]
fn bep_0009_a_torrent_file_around_bytes_from_peers() {
    let b = folder(Version::Hybrid, &sample(), UNIT);
    let raw = b.build().unwrap();
    let layers: Vec<(Hash, &[Hash])> = b
        .files
        .iter()
        .filter(|file| !file.layer.is_empty())
        .map(|file| (file.pieces_root.unwrap(), &file.layer[..]))
        .collect();
    let outer = MetainfoBuilder { trackers: vec![vec!["http://a".into()]], ..MetainfoBuilder::default() };
    let torrent = outer.compose(&raw, layers.into_iter());
    assert_eq!(torrent, outer.build(&b).unwrap());
    assert_eq!(&Metainfo::parse(&torrent).unwrap().info.raw()[..], raw);
}

#[test]
fn a_builder_of_unsorted_files_is_told_so() {
    let mut b = folder(Version::V2, &sample(), UNIT);
    b.files.reverse();
    assert_eq!(b.build().unwrap_err(), MetainfoError::Order);
    let mut single = InfoBuilder::new("a.bin", UNIT, Version::Hybrid);
    single.files = vec![entry("a.bin", &data(20_000, 9), UNIT)];
    single.v1_digests = vec![[1; 20]];
    assert!(matches!(single.build().unwrap_err(), MetainfoError::Pieces { bytes: 20, pieces: 2 }));
    single.v1_digests.push([2; 20]);
    let info = Info::parse(&single.build().unwrap()).unwrap();
    assert_eq!((info.is_multi_file(), info.version()), (false, Version::Hybrid));
}

#[test]
fn mutated_torrents_never_panic() {
    let mut rng = Rng::new([42; 32]);
    let outer = MetainfoBuilder { trackers: vec![vec!["http://a".into()]], ..MetainfoBuilder::default() };
    let small = [("b/long", data(40_000, 1)), ("a", data(5, 2)), ("e", vec![])];
    let seeds: Vec<Vec<u8>> = [Version::V1, Version::V2, Version::Hybrid]
        .iter()
        .map(|&version| outer.build(&folder(version, &small, UNIT)).unwrap())
        .collect();
    let mut whole = 0;
    for round in 0..6_000 {
        let mut torrent = seeds[round % 3].clone();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(torrent.len() as u64) as usize;
            let to = (at + 1 + rng.below(12) as usize).min(torrent.len());
            match rng.below(5) {
                0 => torrent[at] = rng.below(256) as u8,
                1 => drop(torrent.drain(at..to)),
                2 => torrent.truncate(at.max(1)),
                3 => torrent[at] = b"0123456789deil:-"[rng.below(16) as usize],
                _ => {
                    let copy = torrent[at..to].to_vec();
                    torrent.splice(at..at, copy);
                }
            }
        }
        if let Ok(m) = Metainfo::parse(&torrent) {
            whole += 1;
            let g = m.info.geometry().clone();
            for piece in g.iter().take(8) {
                let length = g.padded_length(piece);
                let parts = m.info.extents(g.start(piece), length);
                let sum: u64 = parts.map(|part| u64::from(part.len())).sum();
                assert_eq!(sum, u64::from(length));
                let _ = m.info.v2_piece(piece);
            }
            for (_, file) in m.info.real_files() {
                assert!(file.path.iter().all(|c| !c.is_empty() && c != ".." && !c.contains('/')));
            }
        }
    }
    assert!(whole > 100, "{whole} of 6000 were still torrents: the test looks behind the parser");
}
