//! The disk, against a real folder.

use super::*;
use millstream_core::base::{Chunk, Extent, Part};
use millstream_core::engine::FileNow;
use sha1::{Digest, Sha1};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const T: TorrentId = TorrentId(1);

fn spec(path: &str, length: u64) -> FileSpec {
    let path = path.split('/').map(str::to_owned).collect();
    FileSpec { path, length, pad: false, executable: false, symlink: None, wanted: true }
}

fn opened(folder: &Path, files: Vec<FileSpec>, allocation: Allocation) -> (Disk, Vec<FileNow>) {
    let disk = Disk::new(2);
    let op = FilesOp::Open { folder: folder.to_str().unwrap().into(), files: files.into(), allocation };
    let Outcome::Files(now) = disk.files(T, op) else { panic!("the files can't be opened") };
    (disk, now)
}

fn extent(file: u32, offset: u64, length: u32) -> Extent {
    Extent { file, offset, length }
}

fn stored(extents: &[Extent]) -> Vec<Part> {
    extents.iter().copied().map(Part::Stored).collect()
}

#[test]
fn bep_0047_pads_between_files_read_as_zeros() {
    let folder = test_folder("pads");
    let (disk, _) = opened(&folder, vec![spec("a", 2), spec("b", 1)], Allocation::Sparse);
    disk.write(T, &[extent(0, 0, 2), extent(1, 0, 1)], &[Chunk::copy_from(b"abc")]);
    let parts = [Part::Stored(extent(0, 0, 2)), Part::Pad(3), Part::Stored(extent(1, 0, 1))];
    assert_eq!(disk.read(T, &parts, false), Outcome::Bytes(vec![Chunk::copy_from(b"ab\0\0\0c")]));
    let want = Want { sha1: true, leaves: false };
    let Outcome::Digests(digests) = disk.hash_stored(T, &parts, 0, want) else { panic!() };
    assert_eq!(digests.sha1, Some(Sha1::digest(b"ab\0\0\0c").into()));
}

#[test]
fn what_is_written_over_several_files_is_read_back() {
    let folder = test_folder("span");
    let files = vec![spec("t/a", 10), spec("t/b/c", 300_000), spec("t/d", 5)];
    let (disk, now) = opened(&folder, files, Allocation::Sparse);
    assert_eq!(now, [FileNow::default(); 3], "nothing is made before it is written to");
    let bytes: Vec<u8> = (0..300_015_u32).map(|i| (i % 251) as u8).collect();
    let all = [extent(0, 0, 10), extent(1, 0, 300_000), extent(2, 0, 5)];
    let data: Vec<Chunk> = bytes.chunks(7_777).map(Chunk::copy_from).collect();
    assert_eq!(disk.write(T, &all, &data), Outcome::Written);
    assert_eq!(disk.read(T, &stored(&all), false), Outcome::Bytes(vec![Chunk::copy_from(&bytes)]));
    let part = [extent(0, 8, 2), extent(1, 0, 3)];
    assert_eq!(disk.read(T, &stored(&part), false), Outcome::Bytes(vec![Chunk::copy_from(&bytes[8..13])]));
    let Outcome::Files(now) = disk.files(T, FilesOp::Sync) else { panic!() };
    assert_eq!(now.iter().map(|file| file.length).collect::<Vec<_>>(), [Some(10), Some(300_000), Some(5)]);
    assert!(now.iter().all(|file| file.modified_ns > 0));
    let want = Want { sha1: true, leaves: false };
    let Outcome::Digests(digests) = disk.hash_stored(T, &stored(&all), 0, want) else { panic!() };
    assert_eq!(digests.sha1, Some(Sha1::digest(&bytes).into()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_plain_read_is_answered_stored_and_then_it_is_warm() {
    let folder = test_folder("warm");
    let (disk, _) = opened(&folder, vec![spec("a", 400_000)], Allocation::Sparse);
    let all = [extent(0, 0, 400_000)];
    assert!(!disk.is_warm(T, &stored(&all)), "a file that isn't open isn't warm");
    disk.write(T, &all, &[Chunk::from(vec![1; 400_000])]);
    assert_eq!(disk.read(T, &stored(&all), true), Outcome::Stored);
    let Outcome::Failed(error) = disk.read(T, &stored(&[extent(0, 399_999, 2)]), true) else { panic!() };
    assert!(error.message.contains("/a:"), "{error}");
}

#[test]
fn space_is_set_aside_as_asked() {
    for (allocation, length, blocks) in [
        (Allocation::Sparse, 1 << 20, false),
        (Allocation::Full, 1 << 20, true),
        (Allocation::None, 3, false),
    ] {
        let folder = test_folder("allocation");
        let (disk, _) = opened(&folder, vec![spec("a", 1 << 20)], allocation);
        disk.write(T, &[extent(0, 0, 3)], &[Chunk::copy_from(b"abc")]);
        let file = fs::metadata(folder.join("a")).unwrap();
        assert_eq!(file.len(), length, "{allocation:?}");
        assert_eq!(file.blocks() * 512 >= 1 << 20, blocks, "{allocation:?}");
    }
}

#[test]
fn a_file_that_is_too_long_is_cut_when_it_is_written_to() {
    let folder = test_folder("long");
    fs::write(folder.join("a"), [9; 100]).unwrap();
    let (disk, now) = opened(&folder, vec![spec("a", 10)], Allocation::None);
    assert_eq!(now[0].length, Some(100));
    disk.write(T, &[extent(0, 0, 1)], &[Chunk::copy_from(b"x")]);
    assert_eq!(fs::metadata(folder.join("a")).unwrap().len(), 10);
}

#[test]
fn bytes_that_are_not_stored_are_absent_and_holes_are_zeros() {
    let folder = test_folder("absent");
    let (disk, _) = opened(&folder, vec![spec("a", 3 << 20), spec("b", 10)], Allocation::Sparse);
    let want = Want { sha1: true, leaves: true };
    assert_eq!(disk.hash_stored(T, &stored(&[extent(1, 0, 10)]), 0, want), Outcome::Absent);
    fs::write(folder.join("b"), [1; 9]).unwrap();
    assert_eq!(disk.hash_stored(T, &stored(&[extent(1, 0, 10)]), 0, want), Outcome::Absent);
    disk.write(T, &[extent(0, 0, 1)], &[Chunk::copy_from(b"x")]);
    for offset in [1 << 20, 2 << 20] {
        let Outcome::Digests(digests) = disk.hash_stored(T, &stored(&[extent(0, offset, 1 << 20)]), 0, want)
        else {
            panic!()
        };
        assert_eq!(digests.sha1, Some(Sha1::digest(vec![0; 1 << 20]).into()));
        assert_eq!(digests.leaves.len(), 64);
    }
}

#[test]
fn bep_0047_links_and_executables_are_made_and_pads_are_not() {
    let folder = test_folder("attributes");
    let link = FileSpec { symlink: Some(vec!["bin".into(), "run".into()]), ..spec("t/x/link", 0) };
    let run = FileSpec { executable: true, ..spec("t/bin/run", 4) };
    let pad = FileSpec { pad: true, ..spec("t/.pad/7", 7) };
    let (disk, _) = opened(&folder, vec![link, run, pad, spec("t/empty", 0)], Allocation::Sparse);
    disk.write(T, &[extent(1, 0, 4)], &[Chunk::copy_from(b"true")]);
    assert_eq!(fs::read(folder.join("t/x/link")).unwrap(), b"true");
    assert_eq!(fs::metadata(folder.join("t/bin/run")).unwrap().permissions().mode() & 0o100, 0o100);
    assert_eq!(fs::metadata(folder.join("t/empty")).unwrap().len(), 0);
    assert!(!folder.join("t/.pad").exists());
}

#[test]
fn what_is_not_wanted_is_not_made_until_it_is() {
    let folder = test_folder("unwanted").join("deeper");
    let link = FileSpec { symlink: Some(vec!["a".into()]), wanted: false, ..spec("t/link", 0) };
    let empty = FileSpec { wanted: false, ..spec("t/empty", 0) };
    let full = FileSpec { wanted: false, ..spec("t/a", 4) };
    let (disk, now) = opened(&folder, vec![link.clone(), empty.clone(), full.clone()], Allocation::Sparse);
    assert_eq!(now, vec![FileNow::default(); 3]);
    assert!(!folder.exists(), "not even the folder");
    let files = vec![link, FileSpec { wanted: true, ..empty }, full].into();
    let root = folder.to_str().unwrap().into();
    let now = disk.files(T, FilesOp::Open { folder: root, files, allocation: Allocation::Sparse });
    let Outcome::Files(now) = now else { panic!("{now:?}") };
    assert_eq!(now.iter().map(|file| file.length).collect::<Vec<_>>(), [None, Some(0), None]);
    assert_eq!(fs::read_dir(folder.join("t")).unwrap().count(), 1);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(disk.write(T, &[extent(2, 0, 4)], &[Chunk::copy_from(b"true")]), Outcome::Written);
    assert_eq!(fs::read(folder.join("t/a")).unwrap(), b"true", "the folder is made with the first file");
}

#[test]
fn paths_in_a_torrent_are_hostile_nothing_is_written_through_a_link_that_leaves() {
    let (folder, outside) = (test_folder("inside"), test_folder("outside"));
    fs::create_dir(folder.join("t")).unwrap();
    std::os::unix::fs::symlink(&outside, folder.join("t/out")).unwrap();
    std::os::unix::fs::symlink(outside.join("file"), folder.join("t/file")).unwrap();
    let (disk, _) = opened(&folder, vec![spec("t/out/a", 1), spec("t/file", 1)], Allocation::Sparse);
    for file in 0..2 {
        let Outcome::Failed(error) = disk.write(T, &[extent(file, 0, 1)], &[Chunk::copy_from(b"x")]) else {
            panic!()
        };
        assert_eq!(error.kind, HostErrorKind::Permission, "{error}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    for target in [vec!["..".to_owned()], vec!["a/../../b".to_owned()], vec![]] {
        let link = FileSpec { symlink: Some(target), ..spec("t/link", 0) };
        let op = FilesOp::Open {
            folder: folder.to_str().unwrap().into(),
            files: vec![link].into(),
            allocation: Allocation::Sparse,
        };
        assert!(matches!(disk.files(T, op), Outcome::Failed(_)));
    }
}

#[test]
fn more_files_than_may_be_open_are_written_all_the_same() {
    let folder = test_folder("many");
    let files: Vec<FileSpec> = (0..40).map(|n| spec(&format!("t/{n}"), 1)).collect();
    let (disk, _) = opened(&folder, files, Allocation::Sparse);
    for round in 0..2_u8 {
        for n in 0..40 {
            assert_eq!(disk.write(T, &[extent(n, 0, 1)], &[Chunk::copy_from(&[round])]), Outcome::Written);
        }
    }
    assert!(matches!(disk.files(T, FilesOp::Sync), Outcome::Files(_)));
    assert!(matches!(disk.files(T, FilesOp::Close), Outcome::Files(_)));
    assert!(
        matches!(disk.read(T, &stored(&[extent(0, 0, 1)]), false), Outcome::Failed(_)),
        "it is forgotten"
    );
}
