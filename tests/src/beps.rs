//! The table of BEPs against the tests that it names. Says nothing of whether a test is good.

use crate::tidy::{Source, tests_in};
use std::collections::BTreeSet;

/// The BEPs we claim, each of which must have a row; no other may.
pub const CLAIMED: &[u32] = &[
    3, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 19, 20, 21, 23, 24, 27, 29, 31, 32, 33, 35, 38, 39, 40, 41, 42,
    43, 44, 45, 46, 47, 48, 51, 52, 53, 54, 55,
];

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The BEP's number.
    pub bep: u32,
    /// The tests that prove it, by name.
    pub tests: Vec<String>,
}

/// The rows of the table: those whose first cell is a number.
pub fn rows(table: &str) -> Vec<Row> {
    table.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let bep = cells.first()?.parse().ok()?;
    let named = cells.get(3)?.split('`').skip(1).step_by(2);
    Some(Row { bep, tests: named.map(str::to_owned).collect() })
}

/// The names of all tests in the tree: Rust's by attribute, Python's by name.
pub fn tests_of(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        if source.path.ends_with(".rs") {
            found.extend(tests_in(&source.text));
        } else if source.path.ends_with(".py") {
            let defined = source
                .text
                .lines()
                .filter_map(|l| l.trim_start().trim_start_matches("async ").strip_prefix("def "));
            let names = defined.filter_map(|l| l.split_once('(')).map(|(name, _)| name);
            found.extend(names.filter(|name| name.starts_with("test_")).map(str::to_owned));
        }
    }
    found
}

/// What is wrong with the table, in words.
pub fn gaps(rows: &[Row], claimed: &[u32], tests: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for bep in claimed {
        match rows.iter().filter(|row| row.bep == *bep).count() {
            0 => found.push(format!("BEP {bep} has no row")),
            1 => {}
            n => found.push(format!("BEP {bep} has {n} rows")),
        }
    }
    for row in rows {
        if !claimed.contains(&row.bep) {
            found.push(format!("BEP {} has a row and isn't claimed", row.bep));
        }
        if row.tests.is_empty() {
            found.push(format!("BEP {} names no test", row.bep));
        }
        let missing = row.tests.iter().filter(|test| !tests.contains(*test));
        found.extend(missing.map(|test| format!("BEP {} names {test}, which does not exist", row.bep)));
    }
    found
}
