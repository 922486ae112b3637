//! `dht`: nodes that meet over loopback, and what is asked of them.

use crate::fixture::{Fixture, Node, lines, text, with_event};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

/// A DHT of three nodes.
struct Dht {
    fixture: Fixture,
    nodes: Vec<Node>,
}

impl Dht {
    fn new() -> Self {
        let fixture = Fixture::new();
        let mut nodes: Vec<Node> = Vec::new();
        for _ in 0..3 {
            // The first one knows nobody.
            let entry = nodes.first().map_or("127.0.0.1:9", |node| node.address.as_str());
            let args = ["dht", "node", "--listen", "127.0.0.1:0", "--json", "--bootstrap", entry];
            nodes.push(Node::start(&fixture, &args));
        }
        Self { fixture, nodes }
    }

    fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let entry = self.nodes[1].address.as_str();
        [&["dht"], args, &["--bootstrap", entry, "--json"]].concat()
    }

    /// The lines of a look-up that succeeds.
    fn run(&self, args: &[&str]) -> Vec<Value> {
        let output = self.fixture.run(&self.args(args));
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        lines(&output.stdout)
    }

    fn complaint(&self, args: &[&str]) -> String {
        self.fixture.complaint(1, &self.args(args))
    }
}

#[test]
fn bep_0005_who_is_announced_is_found_and_counted() {
    let dht = Dht::new();
    assert!(dht.complaint(&["get-peers", HASH]).contains("no peers"));
    let told = dht.run(&["announce", HASH, "--port", "4321", "--seed"]);
    assert!(with_event(&told, "announced")[0]["stored"].as_u64().unwrap() >= 2, "{told:?}");
    let link = format!("magnet:?xt=urn:btih:{HASH}");
    let v2 = format!("{HASH}{}", "89".repeat(12));
    for name in [HASH, link.as_str(), v2.as_str()] {
        let told = dht.run(&["get-peers", name]);
        assert_eq!(with_event(&told, "peer")[0]["address"], "127.0.0.1:4321");
        let end = with_event(&told, "peers")[0];
        assert_eq!(end["found"], 1);
        assert!(end["answers"].as_u64().unwrap() >= 2 && end["hops"].is_number(), "{end}");
    }
    let told = dht.run(&["scrape", HASH]);
    assert_eq!(with_event(&told, "scraped")[0]["seeds"], 1, "{told:?}");
    let told = dht.run(&["sample"]);
    assert_eq!(with_event(&told, "sample")[0]["info_hash"], HASH);
    let plain = dht.fixture.run(&["dht", "get-peers", HASH, "--bootstrap", &dht.nodes[0].address]);
    assert!(plain.stdout.starts_with(b"127.0.0.1:4321\n1 peer ("), "{plain:?}");
    let dead =
        ["dht", "get-peers", HASH, "--bootstrap", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--timeout", "1"];
    let said = dht.fixture.complaint(1, &dead);
    assert!(
        said.contains("no node answered within 1 second;") || said.contains("no node of the DHT answers"),
        "{said}"
    );
}

#[test]
fn bep_0044_an_immutable_item_is_got_as_it_was_put() {
    let dht = Dht::new();
    let told = dht.run(&["put", "--text", "Hello World!"]);
    let target = with_event(&told, "put")[0]["target"].as_str().unwrap().to_owned();
    assert_eq!(target, "e5f96f6f38320f0f33959cb4d3d656452117aadb");
    let item = dht.run(&["get", &target]).remove(0);
    assert_eq!((&item["text"], &item["public_key"]), (&json!("Hello World!"), &Value::Null));
    let plain = dht.fixture.run(&["dht", "get", &target, "--bootstrap", &dht.nodes[0].address]);
    assert_eq!(plain.stdout, b"Hello World!");
    let file = dht.fixture.path("value");
    fs::write(&file, b"d1:ai1ee").unwrap();
    let told = dht.run(&["put", text(&file), "--bencoded"]);
    let target = with_event(&told, "put")[0]["target"].as_str().unwrap();
    assert_eq!(dht.run(&["get", target])[0]["bencoded"], "64313a6169316565");
    let file = dht.fixture.file("big", 1_000);
    assert!(dht.complaint(&["put", text(&file)]).contains("1000 bytes are too many, 1005 with"));
    let file = dht.fixture.file("bigger", 5_000);
    let said = dht.complaint(&["put", text(&file), "--bencoded"]);
    assert!(said.contains("5000 bytes are too many: a node stores 1000 at most"), "{said}");
    assert!(dht.complaint(&["get", HASH]).contains("nothing is stored"));
}

#[test]
fn bep_0044_a_mutable_item_changes_by_its_key_alone() {
    let dht = Dht::new();
    let key = dht.fixture.path("key");
    let made = dht.fixture.json(0, &["dht", "keygen", text(&key), "--json"]);
    let public = made["public_key"].as_str().unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(&key).unwrap();
    dht.fixture.complaint(1, &["dht", "keygen", text(&key)]);
    assert_eq!(fs::read_to_string(&key).unwrap(), secret, "a key is never overwritten");
    let put = |words: &str, more: &[&str]| {
        let all = [&["put", "--text", words, "--key", text(&key), "--salt", "s"], more].concat();
        with_event(&dht.run(&all), "put")[0].clone()
    };
    assert_eq!(put("one", &[])["seq"], 1);
    let second = put("two", &[]);
    assert_eq!((&second["seq"], &second["public_key"]), (&json!(2), &json!(public)));
    for which in [&["get", "--public-key", public][..], &["get", second["target"].as_str().unwrap()]] {
        let item = dht.run(&[which, &["--salt", "s"]].concat()).remove(0);
        assert_eq!((&item["text"], &item["seq"]), (&json!("two"), &json!(2)));
    }
    let args = ["put", "--text", "x", "--key", text(&key), "--salt", "s", "--seq"];
    let stale = dht.complaint(&[&args[..], &["1"]].concat());
    assert!(stale.contains("sequence number 2 is stored") && stale.contains("302"), "{stale}");
    let other = dht.complaint(&[&args[..], &["9", "--cas", "1"]].concat());
    assert!(other.contains("301"), "{other}");
    assert_eq!(put("three", &["--cas", "2"])["seq"], 3);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(dht.complaint(&[&args[..], &["9"]].concat()).contains("chmod 600"));
}

#[test]
fn bep_0044_an_item_that_is_kept_is_stored_again_and_again_until_there_is_a_newer_one() {
    let dht = Dht::new();
    let key = dht.fixture.path("key");
    dht.fixture.json(0, &["dht", "keygen", text(&key), "--json"]);
    let args = ["put", "--text", "one", "--key", text(&key), "--keep", "--keep-interval", "1"];
    let mut command = dht.fixture.command(&dht.args(&args));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let reader = BufReader::new(child.stdout.take().unwrap());
    let mut told = reader.lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    for _ in 0..3 {
        let put = told.next().unwrap();
        assert_eq!((&put["event"], &put["seq"]), (&json!("put"), &json!(1)), "{put}");
    }
    dht.run(&["put", "--text", "two", "--key", text(&key)]);
    let last = told.find(|line| line["event"] == "error").unwrap();
    assert!(last["message"].as_str().unwrap().contains("a newer version is stored, 2"), "{last}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(dht.run(&["put", "--text", "x"]).len(), 1, "without --keep it ends");
}

#[test]
fn where_nobody_answers_it_says_so_and_ends() {
    let fixture = Fixture::new();
    let args = ["dht", "get-peers", HASH, "--bootstrap", "127.0.0.1:9", "--timeout", "1"];
    assert!(fixture.complaint(1, &args).contains("--timeout"));
    let args = ["dht", "node", "--listen", "203.0.113.1:1", "--bootstrap", "127.0.0.1:9"];
    assert!(fixture.complaint(1, &args).contains("--listen"));
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    let fixture = Fixture::new();
    for args in [
        &["get-peers", "12"][..],
        &["get-peers", "magnet:?dn=x"],
        &["announce", HASH],
        &["get"],
        &["get", HASH, "--public-key", "12"],
        &["put"],
        &["put", "--text", "x", "--seq", "1"],
        &["sample", "--target", "x"],
    ] {
        fixture.complaint(2, &[&["dht"], args].concat());
    }
}

#[test]
fn a_node_stays_until_it_is_interrupted() {
    let mut dht = Dht::new();
    let (code, _) = dht.nodes.remove(0).interrupt();
    assert_eq!(code, Some(130));
}
