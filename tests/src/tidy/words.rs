//! Words that may not stand where they stand: in core's code, and anywhere in the tree.

use super::Violation;
use super::tokens::{Kind, Token, tokens};

/// The one file of core that may name a hash table.
const MAPS: &str = "core/src/base/map.rs";

/// Hash tables in core: their order would leak into behaviour, and their keys could be chosen to collide.
pub fn hash_maps(path: &str, text: &str) -> Vec<Violation> {
    if path == MAPS {
        return Vec::new();
    }
    let named = |t: &Token| ["HashMap", "HashSet", "hashbrown"].iter().any(|word| t.is(word));
    core_tokens(path, text, true, named, "a hash table in core; base::Map, BTreeMap and Vec are there")
}

/// `.unwrap()` in core outside tests: it states no invariant.
pub fn unwraps(path: &str, text: &str) -> Vec<Violation> {
    let all = code_of_core(path, text, false);
    let called = all.windows(3).filter(|w| w[0].is_mark('.') && w[1].is("unwrap") && w[2].is_mark('('));
    called.map(|w| Violation::new(path, w[1].line, ".unwrap() in core")).collect()
}

/// Std in core outside tests.
pub fn std_paths(path: &str, text: &str) -> Vec<Violation> {
    core_tokens(path, text, false, |t| t.is("std"), "std in core")
}

/// Floats in core outside tests: they differ between machines, and runs must not.
pub fn floats(path: &str, text: &str) -> Vec<Violation> {
    let float = |t: &Token| t.kind == Kind::Float || t.is("f32") || t.is("f64");
    core_tokens(path, text, false, float, "a float in core")
}

fn core_tokens(
    path: &str,
    text: &str,
    tests: bool,
    bad: impl Fn(&Token) -> bool,
    law: &str,
) -> Vec<Violation> {
    let all = code_of_core(path, text, tests);
    all.iter().filter(|t| bad(t)).map(|t| Violation::new(path, t.line, law)).collect()
}

/// The tokens of a file of core's library; those of tests only if asked for.
fn code_of_core(path: &str, text: &str, tests: bool) -> Vec<Token> {
    let inside = path.starts_with("core/src/") && path.ends_with(".rs");
    if !inside {
        return Vec::new();
    }
    tokens(text).into_iter().filter(|t| tests || !t.in_test).collect()
}

/// Written in two halves, so that this file may stand in the tree it guards.
const FORBIDDEN: [(&str, &str, &str); 13] = [
    ("/wo", "rk/", "a path of one machine"),
    ("/ro", "ot/", "a path of one machine"),
    ("/ho", "me/", "a path of one machine"),
    ("/tm", "p/", "a path of one machine; ask for a temporary folder"),
    ("TO", "DO", "work left undone"),
    ("FIX", "ME", "work left undone"),
    ("XX", "X:", "work left undone"),
    ("unimple", "mented!", "work left undone"),
    ("to", "do!(", "work left undone"),
    ("crates", ".io", "a registry by its host"),
    ("py", "pi.org", "a registry by its host"),
    ("npm", "js.", "a registry by its host"),
    ("deb", "ian.org", "a registry by its host"),
];

/// Words that stand nowhere in the project. Lock files are written by their tools and left alone.
pub fn forbidden_words(path: &str, text: &str) -> Vec<Violation> {
    if path.ends_with(".lock") || path.ends_with("package-lock.json") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for (head, tail, law) in FORBIDDEN {
            if line.contains(&format!("{head}{tail}")) {
                found.push(Violation::new(path, at + 1, format!("{head}{tail}: {law}")));
            }
        }
    }
    found
}
