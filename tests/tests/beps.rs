//! The table of BEPs is true: every BEP we claim has a row, every test that a row names exists.

use millstream_tests::beps::{CLAIMED, Row, gaps, rows, tests_of};
use millstream_tests::tidy::{Source, root, tree};
use std::collections::BTreeSet;

#[test]
fn every_bep_we_claim_is_proved_by_tests_that_exist() {
    let table = std::fs::read_to_string(root().join("tests/BEPS.md")).expect("the table exists");
    let rows = rows(&table);
    assert!(rows.len() >= CLAIMED.len(), "the table is read: {} rows", rows.len());
    let found = gaps(&rows, CLAIMED, &tests_of(&tree()));
    assert!(found.is_empty(), "{found:#?}");
}

fn known() -> BTreeSet<String> {
    BTreeSet::from(["a_story".into(), "another".into()])
}

fn row(bep: u32, tests: &[&str]) -> Row {
    Row { bep, tests: tests.iter().map(|t| (*t).to_owned()).collect() }
}

#[test]
fn a_table_is_read_row_by_row() {
    let table = "| BEP | title | what | tests |\n|---|---|---|---|\n| 3 | Base | all | `a_story`, `another` |\nprose `x`\n";
    assert_eq!(rows(table), [row(3, &["a_story", "another"])]);
}

#[test]
fn a_whole_table_has_no_gap() {
    assert!(gaps(&[row(3, &["a_story"]), row(6, &["another"])], &[3, 6], &known()).is_empty());
}

#[test]
fn a_bep_without_a_row_is_caught() {
    assert_eq!(gaps(&[row(3, &["a_story"])], &[3, 6], &known()), ["BEP 6 has no row"]);
    let twice = [row(3, &["a_story"]), row(3, &["a_story"])];
    assert_eq!(gaps(&twice, &[3], &known()), ["BEP 3 has 2 rows"]);
}

#[test]
fn a_row_of_a_bep_that_we_do_not_claim_is_caught() {
    let found = gaps(&[row(3, &["a_story"]), row(19, &["another"])], &[3], &known());
    assert_eq!(found, ["BEP 19 has a row and isn't claimed"]);
}

#[test]
fn a_row_without_a_test_is_caught() {
    assert_eq!(gaps(&[row(3, &[])], &[3], &known()), ["BEP 3 names no test"]);
}

#[test]
fn a_test_that_does_not_exist_is_caught() {
    let found = gaps(&[row(3, &["a_story", "a_tale"])], &[3], &known());
    assert_eq!(found, ["BEP 3 names a_tale, which does not exist"]);
}

#[test]
fn only_tests_count_as_tests() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let rust = "#[test]\nfn a() {}\nfn b() {}\n// #[test] fn c() {}\n#[tokio::test]\nasync fn d() {}\n\
                #[test]\n#[should_panic]\nfn e() {}\n#[cfg(test)]\nfn f() {}\nconst G: &str = \"#[test] fn g() {}\";";
    let python = "def test_h(): pass\nasync def test_i(): pass\ndef j(): pass\n";
    let found =
        tests_of(&[source("a.rs", rust), source("a.py", python), source("a.md", "#[test] fn k() {}")]);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "d", "e", "test_h", "test_i"]);
}
