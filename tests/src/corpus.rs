//! The guards of fuzzing: every target has a body, every body a target, each a corpus. Runs no fuzzer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The inputs of each target, by target and in order of their names.
pub type Corpora = BTreeMap<String, Vec<(String, Vec<u8>)>>;

/// Where fuzzing lives.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The sources of the targets, by name.
///
/// # Panics
/// If they can't be read.
pub fn targets() -> BTreeMap<String, String> {
    let files = files(&folder().join("fuzz_targets"));
    let text = |bytes| String::from_utf8(bytes).expect("a target is text");
    files.into_iter().map(|(name, bytes)| (name.trim_end_matches(".rs").to_owned(), text(bytes))).collect()
}

/// All committed inputs.
///
/// # Panics
/// If they can't be read.
pub fn corpora() -> Corpora {
    let root = folder().join("corpus");
    let entries = std::fs::read_dir(&root).expect("the corpora can be read");
    let names =
        entries.map(|e| e.expect("the corpora can be read").file_name().to_string_lossy().into_owned());
    names.map(|name| (name.clone(), files(&root.join(name)))).collect()
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut found: Vec<(String, Vec<u8>)> = entries
        .map(|e| e.expect("the folder can be read"))
        .map(|e| {
            (e.file_name().to_string_lossy().into_owned(), std::fs::read(e.path()).expect("a file is read"))
        })
        .collect();
    found.sort();
    found
}

/// What is missing between bodies, targets, the manifest and the corpora, in words.
pub fn gaps(
    bodies: &[&str],
    targets: &BTreeMap<String, String>,
    manifest: &str,
    corpora: &Corpora,
) -> Vec<String> {
    let mut found = Vec::new();
    for body in bodies {
        match targets.get(*body) {
            None => found.push(format!("the body {body} has no target")),
            Some(text) if !text.contains(&format!("fuzz::{body}(")) => {
                found.push(format!("the target {body} does not call its body"));
            }
            Some(_) => {}
        }
        if !manifest.contains(&format!("name = \"{body}\"\n")) {
            found.push(format!("the manifest does not build the target {body}"));
        }
        if corpora.get(*body).is_none_or(Vec::is_empty) {
            found.push(format!("the corpus of {body} is empty"));
        }
    }
    let known = |name: &String| bodies.contains(&name.as_str());
    found.extend(targets.keys().filter(|t| !known(t)).map(|t| format!("the target {t} has no body")));
    found.extend(corpora.keys().filter(|c| !known(c)).map(|c| format!("the corpus {c} has no body")));
    found
}
