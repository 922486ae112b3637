//! The shape of files: how long, how they begin, whether the map names them. Says nothing of what they do.

use super::tokens::{Kind, Token, closing, tokens};
use super::{Source, Violation, layers};
use std::collections::BTreeSet;

/// A file with its tests.
const FILE_LINES_MAX: usize = 700;
/// A function from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 80;

/// Sources that are too long.
pub fn long_files(path: &str, text: &str) -> Vec<Violation> {
    let lines = text.lines().count();
    let source = [".rs", ".py", ".ts", ".js", ".mjs"].iter().any(|end| path.ends_with(end));
    let law = || format!("{lines} lines, at most {FILE_LINES_MAX}: split it by subject");
    if source && lines > FILE_LINES_MAX { vec![Violation::new(path, lines, law())] } else { Vec::new() }
}

/// Functions that are too long.
pub fn long_functions(path: &str, text: &str) -> Vec<Violation> {
    if !path.ends_with(".rs") {
        return Vec::new();
    }
    let tokens = tokens(text);
    let functions =
        (0..tokens.len()).filter(|&at| tokens[at].is("fn")).filter_map(|at| function(&tokens, at));
    let long = functions.filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX);
    long.map(|(name, line, lines)| {
        Violation::new(path, line, format!("fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}"))
    })
    .collect()
}

/// The name, line and length of the function whose `fn` is at `at`; none if it has no body.
fn function(tokens: &[Token], at: usize) -> Option<(&str, usize, usize)> {
    let name = tokens.get(at + 1)?.word()?;
    let mut next = at + 2;
    loop {
        match tokens.get(next)?.kind {
            Kind::Mark(';') => return None,
            Kind::Mark('{') => break,
            Kind::Mark('(' | '[') => next = closing(tokens, next) + 1,
            Kind::Mark(_) | Kind::Word(_) | Kind::Integer | Kind::Float | Kind::Other => next += 1,
        }
    }
    let (first, last) = (tokens[at].line, tokens[closing(tokens, next)].line);
    Some((name, first, last - first + 1))
}

/// Rust files that do not begin by saying what they own.
pub fn purpose_lines(path: &str, text: &str) -> Vec<Violation> {
    let first = text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").is_some_and(|rest| rest.trim().len() > 10);
    if path.ends_with(".rs") && !says {
        return vec![Violation::new(path, 1, "the first line is no `//!` that says what the file owns")];
    }
    Vec::new()
}

/// Tests that are left out without saying why.
pub fn bare_ignores(path: &str, text: &str) -> Vec<Violation> {
    if !path.ends_with(".rs") {
        return Vec::new();
    }
    let bare = |w: &&[Token]| w[0].is_mark('[') && w[1].is("ignore") && w[2].is_mark(']');
    let tokens = tokens(text);
    tokens
        .windows(3)
        .filter(bare)
        .map(|w| Violation::new(path, w[1].line, "#[ignore] without a reason"))
        .collect()
}

/// Rooms of core that the map (ARCHITECTURE.md) has no row for, that stand in no layer, or that its rows put elsewhere:
/// on another layer, or where no room is.
pub fn unnamed_rooms(map: &str, sources: &[Source]) -> Vec<Violation> {
    let rooms: BTreeSet<&str> = sources.iter().filter_map(|s| layers::room(&s.path)).collect();
    let rows: Vec<(&str, usize)> = map.lines().filter_map(map_row).collect();
    let mut found = Vec::new();
    for &room in &rooms {
        let path = format!("core/src/{room}");
        if !rows.iter().any(|(name, _)| *name == room) {
            found.push(Violation::new(&path, 1, "a room that ARCHITECTURE.md does not name"));
        }
        if layers::layer(room).is_none() {
            found.push(Violation::new(&path, 1, "a room that stands in no layer"));
        }
    }
    for (name, layer) in rows {
        let law = match layers::layer(name) {
            _ if !rooms.contains(name) => format!("it names the room {name}, which is not there"),
            Some(real) if real != layer => format!("it puts {name} on layer {layer}; it stands on {real}"),
            Some(_) | None => continue,
        };
        found.push(Violation::new("ARCHITECTURE.md", 1, law));
    }
    found
}

/// The room and layer of a row like ``| `base` | 0 | ..``.
fn map_row(line: &str) -> Option<(&str, usize)> {
    let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
    Some((name, rest.split_once(" |")?.0.parse().ok()?))
}
