//! The house rules as pure functions over a path and its text. Reads the tree only in [`tree`]; what the compiler and
//! clippy already forbid is not repeated here.

mod layers;
mod shape;
mod tokens;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

pub use layers::{LAYERS, crossings, link_ids};
pub use shape::{bare_ignores, long_files, long_functions, purpose_lines, unnamed_rooms};
pub use tokens::tests_in;
pub use words::{floats, forbidden_words, hash_maps, std_paths, unwraps};

/// A file of the project: its path from the root, with `/`, and its text.
#[derive(Clone, Debug)]
pub struct Source {
    /// From the project's root.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// A law broken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// From the project's root.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// What is wrong, in words.
    pub law: String,
}

impl Violation {
    pub(crate) fn new(path: &str, line: usize, law: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, law: law.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.law)
    }
}

/// A guard: from a file to what is wrong with it.
pub type Guard = fn(&str, &str) -> Vec<Violation>;

/// Every guard that looks at one file at a time.
pub const GUARDS: [(&str, Guard); 11] = [
    ("crossings", crossings),
    ("link_ids", link_ids),
    ("hash_maps", hash_maps),
    ("unwraps", unwraps),
    ("std_paths", std_paths),
    ("floats", floats),
    ("long_files", long_files),
    ("long_functions", long_functions),
    ("purpose_lines", purpose_lines),
    ("bare_ignores", bare_ignores),
    ("forbidden_words", forbidden_words),
];

/// The guards that say nothing of tests.
const CODE_ONLY: [&str; 3] = ["unwraps", "std_paths", "floats"];

/// All that is wrong with the files, each looked at alone.
pub fn violations(sources: &[Source]) -> Vec<Violation> {
    let only_in_tests = only_in_tests(sources);
    let mut found = Vec::new();
    for source in sources {
        let test = only_in_tests.contains(&source.path);
        for (_, guard) in GUARDS.iter().filter(|(name, _)| !(test && CODE_ONLY.contains(name))) {
            found.extend(guard(&source.path, &source.text));
        }
    }
    found
}

/// The files of core that are declared under `#[cfg(test)]`, and what they declare in turn.
pub fn only_in_tests(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let rust = || sources.iter().filter(|s| s.path.starts_with("core/src/") && s.path.ends_with(".rs"));
    loop {
        let before = found.len();
        for source in rust() {
            let all = found.contains(&source.path);
            for name in tokens::modules_in(&source.text, all) {
                let folder = layers::folder_of(&source.path);
                found.insert(format!("{folder}/{name}.rs"));
                found.insert(format!("{folder}/{name}/mod.rs"));
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the project, in order; what is built, fetched or generated is left out.
///
/// # Panics
/// If the tree can't be read: a guard that sees nothing must not pass.
pub fn tree() -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Folders that hold no text of ours. Corpora are bytes for parsers.
const SKIPPED: [&str; 9] = [
    "target",
    ".git",
    "node_modules",
    ".venv",
    "__pycache__",
    "dist",
    "corpus",
    "artifacts",
    ".pytest_cache",
];

fn walk(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).expect("the project's folders can be read") {
        let entry = entry.expect("the project's folders can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().expect("the project's files have a type");
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
            walk(&entry.path(), &path, found);
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).expect("the project's files can be read");
            found.extend(String::from_utf8(bytes).ok().map(|text| Source { path, text }));
        }
    }
}
