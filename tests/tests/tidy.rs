//! The house rules hold over the tree, and each guard fails on a violation fed to it. Owns no rule itself.

use millstream_tests::tidy::{
    GUARDS, Guard, LAYERS, Source, Violation, bare_ignores, crossings, floats, forbidden_words, hash_maps,
    link_ids, long_files, long_functions, purpose_lines, root, std_paths, tree, unnamed_rooms, unwraps,
    violations,
};

#[test]
fn the_tree_keeps_the_house_rules() {
    let sources = tree();
    let core = sources.iter().filter(|s| s.path.starts_with("core/src/")).count();
    assert!(core > 20, "the guards see only {core} files of core: they look in the wrong place");
    let found: Vec<String> = violations(&sources).iter().map(Violation::to_string).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_map_names_every_room() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map exists");
    let found = unnamed_rooms(&map, &tree());
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_room_the_map_does_not_name_is_caught() {
    let attic = [Source { path: "core/src/base/time.rs".into(), text: String::new() }];
    assert_eq!(unnamed_rooms("", &attic).len(), 1);
    assert_eq!(unnamed_rooms("the word `base` in prose is no row", &attic).len(), 1);
    assert_eq!(unnamed_rooms("| `base` | 0 | time |", &attic), []);
    let shed = [Source { path: "core/src/shed/mod.rs".into(), text: String::new() }];
    assert_eq!(unnamed_rooms("| `shed` | 2 | tools |", &shed).len(), 1, "a room without a layer");
}

#[test]
fn a_map_that_is_not_true_is_caught() {
    let attic = [Source { path: "core/src/base/time.rs".into(), text: String::new() }];
    let laws = |map| unnamed_rooms(map, &attic).into_iter().map(|v| v.law).collect::<Vec<_>>();
    assert_eq!(laws("| `base` | 1 | time |"), ["it puts base on layer 1; it stands on 0"]);
    assert_eq!(
        laws("| `base` | 0 | time |\n| `cellar` | 2 | wine |"),
        ["it names the room cellar, which is not there"]
    );
}

#[test]
fn each_guard_is_among_those_that_run() {
    let tested: [Guard; 11] = [
        crossings,
        link_ids,
        hash_maps,
        unwraps,
        std_paths,
        floats,
        long_files,
        long_functions,
        purpose_lines,
        bare_ignores,
        forbidden_words,
    ];
    assert_eq!(tested.len(), GUARDS.len());
    for (name, guard) in GUARDS {
        assert!(!violation_of(name).is_empty(), "no violation is known for {name}");
        let (path, text) = violation_of(name)[0].clone();
        assert!(!guard(&path, &text).is_empty(), "{name} lets its violation pass");
    }
}

/// One violation for each guard, by its name.
fn violation_of(guard: &str) -> Vec<(String, String)> {
    let file = |path: &str, text: &str| vec![(path.to_owned(), text.to_owned())];
    match guard {
        "crossings" => file("core/src/peer/mod.rs", "use crate::picker::Picker;"),
        "link_ids" => file("core/src/peer/mod.rs", "fn f(c: ConnId) {}"),
        "hash_maps" => file("core/src/peer/mod.rs", "type T = HashMap<u8, u8>;"),
        "unwraps" => file("core/src/peer/mod.rs", "fn f() { g().unwrap(); }"),
        "std_paths" => file("core/src/peer/mod.rs", "use std::io;"),
        "floats" => file("core/src/peer/mod.rs", "fn f() -> f64 { g() }"),
        "long_files" => file("core/src/peer/mod.rs", &"\n".repeat(701)),
        "long_functions" => file("core/src/peer/mod.rs", &format!("fn f() {{{}}}", "\n".repeat(80))),
        "purpose_lines" => file("core/src/peer/mod.rs", "use core::fmt;"),
        "bare_ignores" => file("core/src/peer/mod.rs", "#[ignore]\nfn f() {}"),
        "forbidden_words" => file("README.md", concat!("see /wo", "rk/shared")),
        _ => Vec::new(),
    }
}

fn lines(found: &[Violation]) -> Vec<usize> {
    found.iter().map(|v| v.line).collect()
}

/// Whether `text`, as the file `path` of core, crosses a layer.
fn crosses(path: &str, text: &str) -> bool {
    !crossings(&format!("core/src/{path}"), text).is_empty()
}

#[test]
fn the_layers_hold_each_room_once() {
    let mut rooms: Vec<&str> = LAYERS.concat();
    rooms.sort_unstable();
    let all = rooms.len();
    rooms.dedup();
    assert_eq!(rooms.len(), all);
}

#[test]
fn a_use_that_crosses_layers_is_caught() {
    assert!(crosses("base/time.rs", "use crate::wire::Message;"), "up");
    assert!(crosses("peer/mod.rs", "use crate::torrent::Torrent;"), "up");
    assert!(crosses("peer/mod.rs", "use crate::picker::Picker;"), "sideways");
    assert!(crosses("torrent/mod.rs", "use crate::link::Link;"), "sideways");
    assert!(crosses("torrent/mod.rs", "pub use crate::engine::Event as E;"), "up, renamed");
    assert!(crosses("peer/mod.rs", "use crate::{base::Rng, picker::{Picker, Pick}};"), "in a group");
    assert!(crosses("peer/mod.rs", "use super::picker::Picker;"), "by super");
    assert!(crosses("peer/outbox.rs", "use super::super::store;"), "by super twice");
    assert!(crosses("peer/outbox.rs", "use self::super::super::store::Store;"), "by self");
    assert!(crosses("peer/mod.rs", "use super::{store, base};"), "by super in a group");
    assert!(crosses("peer/a/b.rs", "use super::super::super::{base::Rng, store::Store};"), "from deep below");
    assert_eq!(lines(&crossings("core/src/peer/mod.rs", "\n\nuse crate::picker::P;\n")), [3]);
}

#[test]
fn an_inline_path_that_crosses_layers_is_caught() {
    assert!(crosses("wire/mod.rs", "fn f(p: &crate::peer::Session) {}"));
    assert!(crosses("peer/mod.rs", "fn f() { let x = super::picker::new(); }"));
    assert!(crosses("peer/outbox.rs", "impl From<super::super::store::E> for E {}"));
    assert!(crosses("peer/mod.rs", "fn f() { <crate::store::Store as Default>::default(); }"));
    assert!(crosses("peer/mod.rs", "macro_rules! m { () => { $crate::store::new() } }"));
    assert!(
        crosses("peer/mod.rs", "fn f() { assert!(crate::store::check()); }"),
        "inside a macro's arguments"
    );
    assert!(
        crosses("peer/mod.rs", "mod tests { use super::super::picker; }"),
        "an inline module is one deeper"
    );
    assert!(crosses("peer/mod.rs", "mod tests { mod deep { fn f() { super::super::super::store::x() } } }"));
}

#[test]
fn a_detour_around_the_layers_is_caught() {
    assert!(crosses("peer/mod.rs", "use crate as root;"), "the root under another name");
    assert!(crosses("peer/mod.rs", "use crate::*;"), "all of the root");
    assert!(crosses("peer/mod.rs", "use super::*;"), "all of the root by super");
    assert!(crosses("peer/mod.rs", "use crate::{self as root};"));
    assert!(crosses("peer/mod.rs", "use crate::Store;"), "something the root hands on");
    assert!(crosses("peer/mod.rs", "extern crate self as millstream;"));
    assert!(crosses("peer/mod.rs", "#[path = \"../store/mod.rs\"] mod store;"));
    assert!(crosses("peer/mod.rs", "include!(\"../store/mod.rs\");"));
    assert!(crosses("shed/mod.rs", ""), "a room without a layer");
}

#[test]
fn what_points_down_or_stays_home_is_allowed() {
    assert!(!crosses(
        "engine/mod.rs",
        "use crate::{torrent::Torrent, link::Link, peer, wire::*, base::Rng};"
    ));
    assert!(!crosses("peer/mod.rs", "use crate::wire::{self, Message}; use crate::base::*;"));
    assert!(!crosses("peer/mod.rs", "use crate::peer::outbox::Outbox; mod tests { use super::*; }"));
    assert!(!crosses("peer/outbox.rs", "use super::Session; fn f() { super::super::base::x(); }"));
    assert!(!crosses("peer/mod.rs", "// use crate::picker::Picker;\n/* crate::store::x /* */ */ fn f() {}"));
    assert!(!crosses(
        "peer/mod.rs",
        "const A: &str = \"crate::picker::x\"; const B: &str = r#\"\"crate::store\"#;"
    ));
    assert!(!crosses(
        "peer/mod.rs",
        "pub(crate) fn f<'a>(x: &'a str, q: char) { q == '\"'; } pub(super) struct S;"
    ));
    assert!(!crosses("peer/mod.rs", "use core::fmt; use alloc::{vec::Vec, collections::BTreeMap};"));
    assert!(!crosses("peer/mod.rs", "fn f() -> impl Sized + use<'_> { core::mem::take(x) }"));
    assert!(!crosses("lib.rs", "pub use engine::Engine; use crate::peer;"), "the root stands above all");
}

#[test]
fn a_link_id_in_a_room_that_may_not_know_it_is_caught() {
    assert_eq!(link_ids("core/src/torrent/mod.rs", "fn f(c: ConnId) {}").len(), 1);
    assert_eq!(link_ids("core/src/choke/mod.rs", "use crate::base::ConnId;").len(), 1);
    assert_eq!(link_ids("core/src/link/mod.rs", "use crate::base::ConnId;"), []);
    assert_eq!(link_ids("driver-tokio/src/lib.rs", "use millstream_core::base::ConnId;"), []);
}

#[test]
fn a_hash_table_in_core_is_caught() {
    for text in
        ["use hashbrown::HashMap;", "fn f(x: std::collections::HashMap<u8, u8>) {}", "type S = HashSet<u8>;"]
    {
        assert!(!hash_maps("core/src/peer/mod.rs", text).is_empty(), "{text}");
    }
    assert_eq!(hash_maps("core/src/base/map.rs", "use hashbrown::HashMap;"), []);
    assert_eq!(hash_maps("driver-tokio/src/lib.rs", "use std::collections::HashMap;"), []);
}

#[test]
fn an_unwrap_in_core_is_caught_but_in_its_tests() {
    assert_eq!(lines(&unwraps("core/src/peer/mod.rs", "fn f() {\n g()\n .unwrap();\n}")), [3]);
    let after = "#[cfg(test)]\nmod tests { fn g() { x.unwrap(); } }\nfn f() { x.unwrap(); }";
    assert_eq!(lines(&unwraps("core/src/peer/mod.rs", after)), [3], "tests end where their module ends");
    assert_eq!(unwraps("core/src/peer/mod.rs", "#[test]\nfn f() { x.unwrap(); }"), []);
    assert_eq!(unwraps("core/src/peer/mod.rs", "fn f() { x.unwrap_or(1); } // .unwrap()"), []);
    let not = "#[cfg(not(test))]\nfn f() { x.unwrap(); }";
    assert_eq!(lines(&unwraps("core/src/peer/mod.rs", not)), [2], "what is not a test is code");
}

#[test]
fn a_file_is_a_tests_only_if_it_is_declared_so() {
    let source = |path: &str, text: &str| Source { path: format!("core/src/peer/{path}"), text: text.into() };
    let bad = "//! A file with an unwrap.\nfn f() { x.unwrap(); }";
    let home = "//! What the room owns.\n#[cfg(test)]\nmod tests;\nmod code;\n#[cfg(test)]\nmod world;";
    let sources = [
        source("mod.rs", home),
        source("tests.rs", bad),
        source("code.rs", bad),
        source("world.rs", "//! What it is made of.\nmod part;"),
        source("world/part.rs", bad),
    ];
    let found = violations(&sources);
    assert_eq!(found.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(), ["core/src/peer/code.rs"]);
    let undeclared = [source("mod.rs", "//! What the room owns.\nmod tests;"), source("tests.rs", bad)];
    assert_eq!(violations(&undeclared).len(), 1, "a name makes no test");
}

#[test]
fn std_in_core_is_caught_but_in_its_tests() {
    assert_eq!(std_paths("core/src/peer/mod.rs", "use std::vec::Vec;").len(), 1);
    assert_eq!(std_paths("core/src/lib.rs", "extern crate std;").len(), 1);
    assert_eq!(std_paths("core/src/lib.rs", "#[cfg(test)]\nextern crate std;"), []);
    assert_eq!(std_paths("core/src/peer/mod.rs", "#[cfg(test)] mod tests { use std::vec; }"), []);
}

#[test]
fn a_float_in_core_is_caught() {
    for text in ["x: f32", "1.5 * x", "1e9", "2f64", "let a = 1.;", "x as f64"] {
        assert_eq!(floats("core/src/choke/mod.rs", text).len(), 1, "{text}");
    }
    for text in ["0..5", "pair.0.1", "0xe5", "1_000u64", "1.max(2)", "0xf32", "\"1.5\"", "'1'"] {
        assert_eq!(floats("core/src/choke/mod.rs", text), [], "{text}");
    }
}

#[test]
fn a_long_file_is_caught() {
    assert_eq!(long_files("core/src/peer/mod.rs", &"\n".repeat(700)), []);
    assert_eq!(long_files("core/src/peer/mod.rs", &"\n".repeat(701)).len(), 1);
    assert_eq!(long_files("bindings-python/python/millstream/__init__.py", &"\n".repeat(701)).len(), 1);
    assert_eq!(long_files("Cargo.lock", &"\n".repeat(5000)), []);
}

#[test]
fn a_long_function_is_caught() {
    let body =
        |lines: usize| format!("impl X {{ fn f(x: [u8; 4]) -> u8 {{{}}} fn g(); }}", "\n".repeat(lines - 1));
    assert_eq!(long_functions("core/src/peer/mod.rs", &body(80)), []);
    assert_eq!(long_functions("core/src/peer/mod.rs", &body(81)).len(), 1);
    assert_eq!(long_functions("tests/src/world.rs", &body(81)).len(), 1, "tests too");
}

#[test]
fn a_file_without_a_purpose_is_caught() {
    assert_eq!(purpose_lines("core/src/peer/mod.rs", "use core::fmt;\n//! Late.").len(), 1);
    assert_eq!(purpose_lines("core/src/peer/mod.rs", "//!").len(), 1);
    assert_eq!(purpose_lines("core/src/peer/mod.rs", "").len(), 1);
    assert_eq!(purpose_lines("core/src/peer/mod.rs", "//! One session over any byte link."), []);
}

#[test]
fn an_ignored_test_without_a_reason_is_caught() {
    assert_eq!(bare_ignores("core/src/peer/mod.rs", "#[test]\n#[ignore]\nfn f() {}").len(), 1);
    assert_eq!(
        bare_ignores("core/src/peer/mod.rs", "#[test]\n#[ignore = \"needs a minute\"]\nfn f() {}"),
        []
    );
}

#[test]
fn a_forbidden_word_is_caught_anywhere() {
    for word in [
        concat!("/wo", "rk/main"),
        concat!("/ro", "ot/x"),
        concat!("/tm", "p/x"),
        concat!("// TO", "DO later"),
        concat!("FIX", "ME"),
        concat!("unimple", "mented!()"),
        concat!("to", "do!()"),
        concat!("https://crates", ".io"),
    ] {
        assert_eq!(forbidden_words("README.md", word).len(), 1, "{word}");
    }
    assert_eq!(forbidden_words("Cargo.lock", concat!("crates", ".io")), []);
    assert_eq!(forbidden_words("README.md", "a working path: network/src, roots, tmpfs"), []);
}
