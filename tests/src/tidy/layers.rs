//! The layers of core as law: which room may name which. Finds crossings in `use` trees and in paths inline.

use super::Violation;
use super::tokens::{Kind, Token, closing, tokens};

/// The rooms of core from the ground up. A file names its own room and rooms of lower layers, never sideways, never up.
pub const LAYERS: [&[&str]; 5] = [
    &["base"],
    &["wire"],
    &[
        "peer", "picker", "store", "verify", "choke", "pool", "book", "announce", "metadata", "pex",
        "webseed", "offers", "create", "resume", "limits", "dht", "utp", "mse", "lsd", "tracker",
    ],
    &["torrent", "link", "net"],
    &["engine"],
];

/// The rooms that may see a link's id; to the others a peer is a peer, whatever carries it.
const SEE_LINKS: [&str; 4] = ["base", "link", "net", "engine"];

/// The layer of `room`.
pub(super) fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// The room that a file of core belongs to; none for the crate's root and for what is not core.
pub(super) fn room(path: &str) -> Option<&str> {
    let (first, rest) = path.strip_prefix("core/src/")?.split_once('/').unwrap_or_default();
    (!rest.is_empty()).then_some(first)
}

/// Paths that cross the layers.
pub fn crossings(path: &str, text: &str) -> Vec<Violation> {
    let Some(home) = room(path) else { return Vec::new() };
    let Some(level) = layer(home) else {
        return vec![Violation::new(path, 1, format!("the room {home} stands in no layer"))];
    };
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut check = |line, full: &[String]| {
        if let Some(law) = judge(home, level, full) {
            found.push(Violation::new(path, line, law));
        }
    };
    for (line, full) in paths(&module_of(path), &tokens) {
        check(line, &full);
    }
    found.extend(detours(path, &tokens));
    found
}

/// Link ids in rooms that may not know them.
pub fn link_ids(path: &str, text: &str) -> Vec<Violation> {
    let Some(home) = room(path).filter(|home| !SEE_LINKS.contains(home)) else { return Vec::new() };
    let law = |t: &Token| {
        Violation::new(path, t.line, format!("{home} names a ConnId; only link, net and engine see one"))
    };
    tokens(text).iter().filter(|t| t.is("ConnId")).map(law).collect()
}

fn judge(home: &str, level: usize, full: &[String]) -> Option<String> {
    let Some(target) = full.first() else {
        return Some("names the crate's root itself, which hides what it reaches".into());
    };
    match layer(target) {
        _ if target == home => None,
        Some(other) if other < level => None,
        Some(other) => Some(format!("{home} (layer {level}) names {target} (layer {other})")),
        None => Some(format!("{home} names crate::{target}, which is no room")),
    }
}

/// The folder that the modules a file declares stand in.
pub(super) fn folder_of(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "mod.rs" | "lib.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    }
}

/// The module path of a file, without the crate.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("core/src/").trim_end_matches(".rs");
    let mut module: Vec<String> = inner.split('/').map(String::from).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// Every path that begins at `crate`, `super` or `self`, resolved from the crate's root.
fn paths(file: &[String], tokens: &[Token]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut modules: Vec<(usize, String)> = Vec::new(); // inline modules we stand in, with where they end
    let mut at = 0;
    while at < tokens.len() {
        modules.retain(|(end, _)| at <= *end);
        let here =
            || file.iter().cloned().chain(modules.iter().map(|(_, name)| name.clone())).collect::<Vec<_>>();
        let next = tokens.get(at + 1);
        if tokens[at].is("mod") && tokens.get(at + 2).is_some_and(|t| t.is_mark('{')) {
            let name = next.and_then(Token::word).unwrap_or_default().to_owned();
            modules.push((closing(tokens, at + 2), name));
            at += 3;
        } else if tokens[at].is("use") && !next.is_some_and(|t| t.is_mark('<')) {
            at = use_tree(&here(), &[], tokens, at + 1, &mut found);
        } else if begins_path(tokens, at) {
            let (end, written) = inline_path(tokens, at);
            found.extend(resolve(&here(), &written).map(|full| (tokens[at].line, full)));
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

fn begins_path(tokens: &[Token], at: usize) -> bool {
    let rooted = ["crate", "super", "self"].iter().any(|word| tokens[at].is(word));
    rooted && separator(tokens, at + 1) && !(at >= 2 && separator(tokens, at - 2))
}

fn separator(tokens: &[Token], at: usize) -> bool {
    (at..at + 2).all(|at| tokens.get(at).is_some_and(|t| t.is_mark(':')))
}

fn inline_path(tokens: &[Token], mut at: usize) -> (usize, Vec<String>) {
    let mut written = Vec::new();
    while let Some(word) = tokens.get(at).and_then(Token::word) {
        written.push(word.to_owned());
        at += 1;
        if !separator(tokens, at) {
            break;
        }
        at += 2;
    }
    (at, written)
}

/// Reads one tree of a `use` from `at`; answers where it ends (at its `,`, `}` or `;`).
fn use_tree(
    here: &[String],
    prefix: &[String],
    tokens: &[Token],
    mut at: usize,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut written = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |t| t.line);
    while let Some(token) = tokens.get(at) {
        match &token.kind {
            Kind::Mark('{') => return use_group(here, &written, tokens, at, found),
            Kind::Mark(',' | '}' | ';') => break,
            Kind::Word(word) if word == "as" => at += 2,
            Kind::Word(word) => {
                written.push(word.clone());
                at += 1;
            }
            Kind::Mark(_) | Kind::Integer | Kind::Float | Kind::Other => at += 1,
        }
    }
    found.extend(resolve(here, &written).map(|full| (line, full)));
    at
}

fn use_group(
    here: &[String],
    prefix: &[String],
    tokens: &[Token],
    open: usize,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let end = closing(tokens, open);
    let mut at = open + 1;
    while at < end {
        at = use_tree(here, prefix, tokens, at, found).max(at) + 1;
    }
    end + 1
}

/// A path as the crate's root sees it; none if it begins elsewhere (another crate, a name in scope).
fn resolve(here: &[String], written: &[String]) -> Option<Vec<String>> {
    let mut full = match written.first().map(String::as_str) {
        Some("crate") => Vec::new(),
        Some("self" | "super") => here.to_vec(),
        Some(_) | None => return None,
    };
    for word in written {
        match word.as_str() {
            "crate" | "self" => {}
            "super" => drop(full.pop()),
            word => full.push(word.to_owned()),
        }
    }
    Some(full)
}

/// Ways around the modules that a reader of paths can't follow.
fn detours(path: &str, tokens: &[Token]) -> Vec<Violation> {
    let law = |line, what: &str| Violation::new(path, line, format!("{what} hides where code comes from"));
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(3).enumerate() {
        let line = tokens[at].line;
        if pair[0].is("extern") && pair[1].is("crate") && pair[2].is("self") {
            found.push(law(line, "extern crate self"));
        } else if pair[0].is("include") && pair[1].is_mark('!') {
            found.push(law(line, "include!"));
        } else if pair[0].is_mark('[') && pair[1].is("path") && pair[2].is_mark('=') {
            found.push(law(line, "#[path]"));
        }
    }
    found
}
