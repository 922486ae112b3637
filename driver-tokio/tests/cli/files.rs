//! `create`, `inspect`, `verify`, and what needs no network at all.

use crate::fixture::Fixture;
use serde_json::json;
use std::fs;
use std::io::Read;
use std::process::Stdio;

/// A folder of three files, two of them nested or hidden.
fn folder() -> Fixture {
    let fixture = Fixture::new();
    fixture.file("data/b.bin", 50_000);
    fixture.file("data/sub/c", 40_000);
    fixture.file("data/.a", 10);
    fixture
}

#[test]
fn create_is_deterministic() {
    let fixture = folder();
    for version in ["--v1", "--v2", "--hybrid"] {
        let make = |to: &str| {
            let made = fixture.run(&["create", "data", version, "-o", to]);
            assert!(made.status.success(), "{made:?}");
            fs::read(fixture.path(to)).unwrap()
        };
        assert_eq!(make("one.torrent"), make("two.torrent"), "{version}");
    }
    let hybrid = fs::read(fixture.path("one.torrent")).unwrap();
    assert!(fixture.run(&["create", "data/"]).status.success());
    assert_eq!(fs::read(fixture.path("data.torrent")).unwrap(), hybrid, "a hybrid, named after the folder");
    assert!(!String::from_utf8_lossy(&hybrid).contains("creation date"));
}

#[test]
fn inspect_says_what_create_was_told() {
    let fixture = folder();
    let told = [
        "create",
        "data",
        "--piece-length",
        "32K",
        "--tracker",
        "http://a/announce",
        "--tracker",
        "udp://b:1",
        "--web-seed",
        "http://w/",
        "--private",
        "--comment",
        "hello",
    ];
    assert!(fixture.run(&told).status.success());
    let seen = fixture.json(0, &["inspect", "data.torrent", "--json"]);
    assert_eq!(seen["name"], "data");
    assert_eq!(seen["piece_length"], 32_768);
    assert_eq!(seen["length"], 90_010);
    assert_eq!(seen["private"], true);
    assert_eq!(seen["trackers"], json!(["http://a/announce", "udp://b:1"]));
    assert_eq!(seen["web_seeds"], json!(["http://w/"]));
    assert_eq!(seen["comment"], "hello");
    let files = json!([
        {"path": "data/.a", "length": 10},
        {"path": "data/b.bin", "length": 50_000},
        {"path": "data/sub/c", "length": 40_000},
    ]);
    assert_eq!(seen["files"], files, "real files only, no pad");
    assert_eq!(seen["info_hash_v1"].as_str().unwrap().len(), 40);
    assert_eq!(seen["info_hash_v2"].as_str().unwrap().len(), 64);
    let words = String::from_utf8(fixture.run(&["inspect", "data.torrent"]).stdout).unwrap();
    assert!(words.contains("file 2") && words.contains("data/sub/c"), "{words}");
}

#[test]
fn inspect_reads_magnets() {
    let fixture = Fixture::new();
    let hash = "00112233445566778899aabbccddeeff00112233";
    let link = format!("magnet:?xt=urn:btih:{hash}&dn=n&tr=http%3A%2F%2Ft%2Fa");
    let seen = fixture.json(0, &["inspect", &link, "--json"]);
    assert_eq!((&seen["name"], &seen["info_hash_v1"]), (&json!("n"), &json!(hash)));
    assert_eq!((&seen["info_hash_v2"], &seen["length"]), (&json!(null), &json!(null)));
    assert_eq!((&seen["trackers"], &seen["files"]), (&json!(["http://t/a"]), &json!([])));
    let said = fixture.complaint(1, &["inspect", "magnet:?dn=x"]);
    assert!(said.contains("xt=urn:btih:"), "{said}");
}

#[test]
fn bep_0046_inspect_shows_the_key_and_the_salt_of_a_link_that_has_a_key() {
    let fixture = Fixture::new();
    let key = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";
    let link = format!("magnet:?xs=urn:btpk:{key}&s=6e");
    let seen = fixture.json(0, &["inspect", &link, "--json"]);
    assert_eq!((&seen["public_key"], &seen["salt"]), (&json!(key), &json!("6e")));
    assert_eq!(seen["target"], "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f");
    assert_eq!((&seen["info_hash_v1"], &seen["files"]), (&json!(null), &json!([])));
    let words = String::from_utf8(fixture.run(&["inspect", &link]).stdout).unwrap();
    assert!(words.contains(&format!("public key    {key}\nsalt          6e\n")), "{words}");
    let both = format!("{link}&xt=urn:btih:00112233445566778899aabbccddeeff00112233");
    let seen = fixture.json(0, &["inspect", &both, "--json"]);
    assert_eq!(
        seen["info_hash_v1"], "00112233445566778899aabbccddeeff00112233",
        "a torrent that is named counts"
    );
}

#[test]
fn verify_names_the_missing_ranges() {
    for version in ["--v1", "--v2", "--hybrid"] {
        let fixture = Fixture::new();
        let path = fixture.file("f", 100_000);
        assert!(fixture.run(&["create", "f", version, "--piece-length", "16384"]).status.success());
        let verify = ["verify", "f.torrent", "--data", ".", "--json"];
        let whole = fixture.json(0, &verify);
        assert_eq!((&whole["complete"], &whole["missing"]), (&json!(true), &json!([])));
        let mut bytes = fs::read(&path).unwrap();
        bytes[16_384] ^= 1;
        bytes[40_000] ^= 1;
        bytes[99_999] ^= 1;
        fs::write(&path, bytes).unwrap();
        let seen = fixture.json(1, &verify);
        let missing = json!([{"offset": 16_384, "length": 32_768}, {"offset": 98_304, "length": 1_696}]);
        assert_eq!((&seen["complete"], &seen["missing"]), (&json!(false), &missing), "{version}");
        let words = fixture.run(&["verify", "f.torrent", "--data", "."]);
        assert_eq!(words.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&words.stdout).contains("wrong: f, 34464 of 100000 bytes"));
        let file =
            json!({"path": "f", "damage": "wrong", "length": 100_000, "stored": 100_000, "missing": 34_464});
        assert_eq!(seen["files"], json!([file]), "{version}");
        fs::remove_file(&path).unwrap();
        let seen = fixture.json(1, &verify);
        assert_eq!(seen["missing"], json!([{"offset": 0, "length": 100_000}]));
        let said = fixture.complaint(1, &["verify", "f.torrent", "--data", "."]);
        assert!(said.contains("is --data the folder"), "as `seed` says it: {said}");
        let said = fixture.complaint(1, &["verify", "f.torrent", "--data", "nowhere"]);
        assert!(said.contains("nowhere"), "{said}");
    }
}

#[test]
fn verify_names_the_files_and_writes_nothing() {
    let fixture = folder();
    fixture.file("data/empty", 0);
    assert!(fixture.run(&["create", "data"]).status.success());
    fs::remove_file(fixture.path("data/empty")).unwrap();
    fs::remove_file(fixture.path("data/sub/c")).unwrap();
    fixture.file("data/b.bin", 49_999);
    let output = fixture.run(&["verify", "data.torrent", "--data", "."]);
    let words = String::from_utf8(output.stdout).unwrap();
    let told = ["short: data/b.bin, 49999 of 50000 bytes", "missing: data/empty, an empty file"];
    for line in [&told[..], &["missing: data/sub/c, 40000 bytes"]].concat() {
        assert!(words.lines().any(|told| told == line), "{line}: {words}");
    }
    assert!(output.stderr.is_empty() && !fixture.path("data/empty").exists(), "{:?}", output.stderr);
    // One folder too deep.
    let said = fixture.complaint(1, &["verify", "data.torrent", "--data", "data"]);
    assert!(said.contains("is --data the folder") && !fixture.path("data/data").exists(), "{said}");
}

#[test]
fn the_magnet_link_is_told_and_is_of_the_same_torrent() {
    let fixture = folder();
    let made = fixture.json(0, &["create", "data", "--tracker", "http://a/announce", "--json"]);
    let link = made["magnet"].as_str().unwrap().to_owned();
    assert!(link.starts_with("magnet:?xt=urn:btih:") && link.contains("&tr=http"), "{link}");
    let seen = fixture.json(0, &["inspect", &link, "--json"]);
    for name in ["name", "info_hash_v1", "info_hash_v2", "trackers", "magnet"] {
        assert_eq!(seen[name], made[name], "{name}");
    }
    for args in [&["inspect", "data.torrent"][..], &["create", "data", "--tracker", "http://a/announce"]] {
        let words = String::from_utf8(fixture.run(args).stdout).unwrap();
        assert!(words.contains(&link), "{args:?}: {words}");
    }
}

#[test]
fn a_private_torrent_without_a_tracker_is_warned_of() {
    let fixture = folder();
    let output = fixture.run(&["create", "data", "--private"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("--tracker") && said.lines().count() == 1, "{said}");
    let output = fixture.run(&["create", "data", "--private", "--tracker", "http://a/announce"]);
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn what_is_given_in_the_place_of_a_torrent_is_told_what_to_give() {
    let fixture = Fixture::new();
    let hash = "0123456789abcdef0123456789abcdef01234567";
    for verb in ["download", "inspect"] {
        let said = fixture.complaint(1, &[verb, hash]);
        assert!(said.contains(&format!("magnet:?xt=urn:btih:{hash}")), "{said}");
    }
    let link = format!("magnet:?xt=urn:btih:{hash}");
    for args in [["seed", &link, "--data", "."], ["verify", &link, "--data", "."]] {
        let said = fixture.complaint(1, &args);
        assert!(said.contains("torrent file is needed") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn where_to_listen_is_shown_by_an_example() {
    let fixture = Fixture::new();
    for wrong in ["7002", ":7002", "localhost:7002"] {
        for args in [
            &["download", "x", "--listen", wrong][..],
            &["seed", "x", "--data", ".", "--listen", wrong],
            &["tracker", "--udp", wrong],
            &["tracker", "--http", wrong],
            &["dht", "node", "--listen", wrong],
        ] {
            let said = fixture.complaint(2, args);
            assert!(said.contains(wrong) && said.contains("such as 127.0.0.1:6881"), "{args:?}: {said}");
        }
    }
}

#[test]
fn the_manual_has_a_section_for_each_verb_and_names_no_other_page() {
    let output = Fixture::new().run(&["man"]);
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(!page.contains("(1)\n") && !page.contains(".SH EXTRA"), "{page}");
    for verb in ["DEMO", "TRACKER", "DHT", "DHT GET\\-PEERS", "DHT PUT", "DHT NODE"] {
        let heading = format!(".SH \"MILLSTREAM {}\"", verb.replace('\\', ""));
        assert_eq!(page.matches(&heading).count(), 1, "{heading}");
    }
    let put = page.split(".SH \"MILLSTREAM DHT PUT\"").nth(1).unwrap();
    assert!(put.contains("\\-\\-cas") && page.contains(".SH NOTES\n"), "{page}");
}

#[test]
fn what_is_wrong_is_one_sentence_that_names_it() {
    let fixture = Fixture::new();
    let hostile: [(&str, &[u8], &str); 5] = [
        ("nesting", &[b'l'; 100_000], "nesting"),
        ("empty", b"", "empty"),
        ("integer", b"d8:announcei", "at byte 12"),
        ("info", b"d8:announce1:ae", "info"),
        ("pieces", b"d4:infod6:lengthi5e4:name1:a12:piece lengthi0e6:pieces0:ee", "piece length"),
    ];
    for (name, bytes, word) in hostile {
        fs::write(fixture.path(name), bytes).unwrap();
        for args in [vec!["inspect", name], vec!["verify", name, "--data", "."], vec!["download", name]] {
            let said = fixture.complaint(1, &args);
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains(name) && said.contains(word), "{args:?}: {said}");
        }
    }
    let said = fixture.complaint(1, &["create", "nothing"]);
    assert!(said.contains("nothing") && said.lines().count() == 1, "{said}");
    fs::create_dir(fixture.path("hollow")).unwrap();
    fixture.complaint(1, &["create", "hollow"]);
}

#[test]
fn wrong_usage_ends_with_2() {
    let fixture = Fixture::new();
    fixture.file("f", 10);
    assert!(fixture.run(&["create", "f"]).status.success());
    for args in [
        &["download"][..],
        &["frobnicate"],
        &["download", "f.torrent", "--max-download", "fast"],
        &["download", "f.torrent", "--peer", "nowhere"],
        &["download", "f.torrent", "--listen", "here"],
        &["download", "f.torrent", "--select", "5-3"],
        &["download", "f.torrent", "--select", "1"],
        &["download", "f.torrent", "--high", "0,1"],
        &["download", "f.torrent", "--high", "0", "--low", "0"],
        &["create", "f", "--v1", "--v2"],
        &["create", "f", "--piece-length", "1000"],
        &["create", "f", "--tracker", "nowhere"],
        &["verify", "f.torrent"],
        &["seed", "--data", "."],
    ] {
        fixture.complaint(2, args);
    }
    for args in [&["--help"][..], &["--version"], &["download", "--help"], &["man"], &["completions", "zsh"]]
    {
        let output = fixture.run(args);
        assert!(output.status.success() && !output.stdout.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn a_torrent_file_is_not_written_into_what_it_is_made_of() {
    let fixture = folder();
    let inside = fixture.path("data/x.torrent");
    for args in [&["create", "data", "-o", "data/x.torrent"][..], &["create", "."]] {
        let said = fixture.complaint(2, args);
        assert!(said.contains("-o") && said.contains(".torrent"), "{said}");
    }
    assert!(!inside.exists());
    fixture.file("f", 10);
    let before = fs::read(fixture.path("f")).unwrap();
    fixture.complaint(2, &["create", "f", "-o", "f"]);
    assert_eq!(fs::read(fixture.path("f")).unwrap(), before);
    assert!(fixture.run(&["create", "data", "-o", "x.torrent"]).status.success());
    assert!(
        fixture.run(&["create", "data", "-o", "x.torrent"]).status.success(),
        "again, over what is there"
    );
}

#[test]
fn nothing_is_left_out_of_a_torrent_silently() {
    let fixture = folder();
    let _socket = std::os::unix::net::UnixListener::bind(fixture.path("data/socket")).unwrap();
    let said = fixture.complaint(1, &["create", "data"]);
    assert!(said.contains("data/socket"), "{said}");
    assert!(!fixture.path("data.torrent").exists());
    fs::remove_file(fixture.path("data/socket")).unwrap();
    std::os::unix::fs::symlink("../outside", fixture.path("data/link")).unwrap();
    let said = fixture.complaint(1, &["create", "data"]);
    assert!(said.contains("data/link"), "{said}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let fixture = Fixture::new();
    for n in 0..500 {
        fixture.file(&format!("many/{n}"), 10);
    }
    assert!(fixture.run(&["create", "many"]).status.success());
    let mut child = fixture
        .command(&["inspect", "many.torrent"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_torrents_words_do_not_steer_the_terminal() {
    let fixture = Fixture::new();
    fixture.file("f", 10);
    assert!(fixture.run(&["create", "f", "--comment", "\u{1b}[2Jred"]).status.success());
    let words = fixture.run(&["inspect", "f.torrent"]).stdout;
    assert!(!words.contains(&0x1b));
}
