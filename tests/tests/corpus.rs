//! Every committed fuzz input goes through its body, and nothing of fuzzing is missing. Runs no fuzzer.

use millstream_core::resume;
use millstream_core::wire::metainfo::{Info, Metainfo};
use millstream_tests::corpus::{Corpora, corpora, folder, gaps, targets};
use millstream_tests::fuzz::BODIES;
use std::collections::BTreeMap;

#[test]
fn every_input_of_every_corpus_is_replayed() {
    let corpora = corpora();
    let mut replayed = 0;
    for &(name, body) in BODIES {
        for (file, input) in corpora.get(name).into_iter().flatten() {
            println!("{name}/{file}"); // shown when the body panics
            body(input);
            replayed += 1;
        }
    }
    let all: usize = corpora.values().map(Vec::len).sum();
    assert_eq!(replayed, all, "every input has a body");
    assert!(replayed >= BODIES.len(), "every body has an input");
}

#[test]
fn targets_bodies_and_corpora_belong_together() {
    let bodies: Vec<&str> = BODIES.iter().map(|(name, _)| *name).collect();
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).expect("fuzzing has a manifest");
    let found = gaps(&bodies, &targets(), &manifest, &corpora());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_honest_torrents_of_the_corpora_are_accepted() {
    for name in ["v1-single", "v1-many-files", "v2", "v2-one-small-file", "hybrid"] {
        let input =
            |target: &str| std::fs::read(folder().join("corpus").join(target).join(name)).expect("an input");
        let torrent = Metainfo::parse(&input("metainfo")).unwrap_or_else(|e| panic!("{name}: {e}"));
        let alone = Info::parse(&input("info")).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(alone.hashes().eq(torrent.info.hashes()), "{name}");
    }
}

#[test]
fn the_honest_resume_data_of_the_corpus_is_accepted() {
    let framed = std::fs::read(folder().join("corpus/resume/framed")).expect("an input");
    let resume = resume::decode(&framed).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(resume.verified.len(), 10);
}

const MANIFEST: &str = "name = \"a\"\n";

fn target(calls: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("a".into(), format!("fuzz_target!(|data: &[u8]| fuzz::{calls}(data));"))])
}

fn corpus(name: &str, inputs: usize) -> Corpora {
    BTreeMap::from([(name.into(), vec![(String::new(), Vec::new()); inputs])])
}

#[test]
fn a_whole_set_has_no_gap() {
    assert!(gaps(&["a"], &target("a"), MANIFEST, &corpus("a", 1)).is_empty());
}

#[test]
fn an_empty_corpus_is_caught() {
    assert_eq!(gaps(&["a"], &target("a"), MANIFEST, &corpus("a", 0)), ["the corpus of a is empty"]);
    assert_eq!(gaps(&["a"], &target("a"), MANIFEST, &Corpora::new()), ["the corpus of a is empty"]);
}

#[test]
fn a_body_without_a_target_is_caught() {
    let found = gaps(&["a"], &BTreeMap::new(), MANIFEST, &corpus("a", 1));
    assert_eq!(found, ["the body a has no target"]);
    assert_eq!(gaps(&["a"], &target("a"), "", &corpus("a", 1)), ["the manifest does not build the target a"]);
}

#[test]
fn a_target_without_a_body_is_caught() {
    assert_eq!(gaps(&[], &target("a"), MANIFEST, &Corpora::new()), ["the target a has no body"]);
    assert_eq!(gaps(&[], &BTreeMap::new(), "", &corpus("a", 1)), ["the corpus a has no body"]);
    let found = gaps(&["a"], &target("b"), MANIFEST, &corpus("a", 1));
    assert_eq!(found, ["the target a does not call its body"]);
}
