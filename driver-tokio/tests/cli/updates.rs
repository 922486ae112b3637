//! Torrents that are signed (BEP 35), with keys and certificates as OpenSSL makes them, and the newer ones that are found
//! and saved (BEP 39).

use crate::fixture::{Fixture, Node, text, with_event};
use core::net::Ipv4Addr;
use millstream::core::verify::signed::signed_bytes;
use millstream::core::wire::Metainfo;
use serde_json::json;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// A key and its certificate in the folder, `NAME.key` and `NAME.pem`.
fn signer(fixture: &Fixture, name: &str) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    let subject = format!("/CN=org.example.{name}");
    openssl(
        fixture,
        &["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &certificate],
    )
    .args(["-days", "2", "-subj", &subject])
    .output()
    .map(|output| assert!(output.status.success(), "{output:?}"))
    .expect("openssl is needed here: please install it");
}

fn openssl(fixture: &Fixture, args: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(&fixture.folder).args(args);
    command
}

fn created(fixture: &Fixture, args: &[&str]) {
    let output = fixture.run(&[&["create"], args].concat());
    assert!(output.status.success(), "{output:?}");
}

/// A server that answers everybody with one torrent file, and what it was asked.
fn feed(torrent: PathBuf) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, asks) = mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 4096];
            let bytes = stream.read(&mut buffer).unwrap_or(0);
            let body = fs::read(&torrent).unwrap_or_default();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            let line =
                String::from_utf8_lossy(&buffer[..bytes]).lines().next().unwrap_or_default().to_owned();
            let _ = asked.send(line);
        }
    });
    (port, asks)
}

/// Two versions of a file: the torrent of the first names who signs the next and where it is to be found.
struct Release {
    fixture: Fixture,
    asks: Receiver<String>,
    newer: String,
}

impl Release {
    /// `originator`: whose certificate the first one names; the second is signed by `maker`.
    fn new(originator: Option<&str>) -> Self {
        let fixture = Fixture::new();
        signer(&fixture, "maker");
        signer(&fixture, "other");
        fixture.file("data/one", 300_000);
        fixture.file("data/two", 310_000);
        let newer = fixture.path("feed");
        let (port, asks) = feed(newer);
        let url = format!("http://127.0.0.1:{port}/feed");
        let originator = originator.map(|name| format!("{name}.pem"));
        let named: Vec<&str> = originator.iter().flat_map(|file| ["--originator", file]).collect();
        created(&fixture, &[&["data/one", "--update-url", &url][..], &named].concat());
        let sign = ["--sign-key", "maker.key", "--sign-certificate", "maker.pem"];
        created(&fixture, &[&["data/two", "-o", "feed"][..], &sign].concat());
        let newer =
            fixture.json(0, &["inspect", "feed", "--json"])["info_hash_v1"].as_str().unwrap().to_owned();
        Self { fixture, asks, newer }
    }

    fn seed(&self, more: &[&str]) -> Node {
        let args = ["seed", "one.torrent", "--data", "data", "--listen", "127.0.0.1:0", "--json", "--no-dht"];
        let alone = ["--no-lsd", "--port-mapping", "off"];
        Node::start(&self.fixture, &[&args[..], &alone, more].concat())
    }
}

#[test]
fn bep_0035_openssl_takes_the_signature_of_a_torrent_that_was_signed_with_its_key() {
    let fixture = Fixture::new();
    signer(&fixture, "maker");
    fixture.file("f", 100_000);
    created(&fixture, &["f", "--sign-key", "maker.key", "--sign-certificate", "maker.pem"]);
    let metainfo = Metainfo::parse(&fs::read(fixture.path("f.torrent")).unwrap()).unwrap();
    let [signature] = &metainfo.signatures[..] else { panic!("{:?}", metainfo.signatures) };
    assert_eq!(signature.signer, "org.example.maker");
    fs::write(fixture.path("signature"), &signature.signature).unwrap();
    fs::write(fixture.path("signed"), signed_bytes(&metainfo.info, None)).unwrap();
    let output =
        openssl(&fixture, &["x509", "-in", "maker.pem", "-pubkey", "-noout", "-out", "public"]).output();
    assert!(output.unwrap().status.success());
    let verify = ["dgst", "-sha1", "-verify", "public", "-signature", "signature", "signed"];
    let output = openssl(&fixture, &verify).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let seed = ["seed", "f.torrent", "--data", ".", "--only-peers", "--listen", "127.0.0.1:0", "--json"];
    Node::start(&fixture, &seed).wait(|line| line["event"] == "complete");
}

#[test]
fn a_key_without_its_certificate_or_with_anothers_is_wrong_usage() {
    let fixture = Fixture::new();
    signer(&fixture, "maker");
    signer(&fixture, "other");
    fixture.file("f", 1000);
    let said = fixture.complaint(2, &["create", "f", "--sign-key", "maker.key"]);
    assert!(said.contains("--sign-certificate"), "{said}");
    let args = ["create", "f", "--sign-key", "maker.key", "--sign-certificate", "other.pem"];
    let said = fixture.complaint(2, &args);
    assert!(said.contains("the certificate is not of this key"), "{said}");
    let said = fixture.complaint(2, &["create", "f", "--originator", "maker.key"]);
    assert!(said.contains("--originator: the certificate is no X.509 certificate"), "{said}");
    assert!(!fixture.path("f.torrent").exists());
}

#[test]
fn bep_0039_an_update_that_the_originator_signed_is_told_and_saved_beside_the_state() {
    let release = Release::new(Some("maker"));
    let mut node = release.seed(&[]);
    let told = node.wait(|line| line["event"] == "update");
    let saved = release.fixture.path("state/millstream/updates").join(format!("{}.torrent", release.newer));
    assert_eq!((&told["signed"], &told["newer_v1"]), (&json!(true), &json!(release.newer)));
    assert_eq!((&told["saved"], &told["name"]), (&json!(text(&saved)), &json!("one")));
    assert_eq!(fs::read(&saved).unwrap(), fs::read(release.fixture.path("feed")).unwrap());
    assert!(release.asks.recv().unwrap().starts_with("GET /feed?info_hash="));
    let (code, lines) = node.interrupt();
    assert_eq!((code, with_event(&lines, "warning").len()), (Some(130), 0), "{lines:?}");
}

#[test]
fn bep_0039_a_download_saves_updates_where_it_is_told_and_says_so_in_words() {
    let release = Release::new(Some("maker"));
    let seed = release.seed(&["--updates", "off", "--max-upload", "100K"]);
    let args = ["download", "one.torrent", "-o", "out", "--peer", &seed.address, "--listen", "127.0.0.1:0"];
    let alone = ["--no-dht", "--no-lsd", "--port-mapping", "off", "--updates", "new/ones"];
    let output = release.fixture.run(&[&args[..], &alone].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let hash = &release.newer;
    let line = format!(
        "one: there is a newer torrent, signed by its originator: {hash}, saved as new/ones/{hash}.torrent"
    );
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().any(|said| said == line), "{said}");
    let saved = fs::read(release.fixture.path("new/ones").join(format!("{hash}.torrent"))).unwrap();
    assert_eq!(saved, fs::read(release.fixture.path("feed")).unwrap());
    assert_eq!(release.asks.try_iter().count(), 1, "who seeds was told not to look");
}

#[test]
fn bep_0035_an_update_that_nobody_vouches_for_is_told_and_not_saved_and_one_of_somebody_else_is_refused() {
    let release = Release::new(None);
    let told = release.seed(&[]).wait(|line| line["event"] == "update");
    assert_eq!((&told["signed"], &told["saved"]), (&json!(false), &json!(null)));
    let refused = Release::new(Some("other"));
    let told = refused.seed(&[]).wait(|line| line["event"] == "warning");
    assert!(told["message"].as_str().unwrap().contains("isn't signed by the originator"), "{told}");
    for release in [release, refused] {
        assert!(!release.fixture.path("state/millstream/updates").exists());
    }
}
