//! Filter lists out of files, read line by line: however long a list is, what is in memory is its ranges.

use core::fmt;
use millstream_core::wire::ip_filter::{IpFilterError, IpFilterLimits, IpFilterReader, ReadFilter};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Bytes of a line that are kept: more than any rule has.
const LINE_BYTES: u64 = 4096;

/// Why a filter list can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterFileError {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is no filter list.
    #[error(transparent)]
    List(#[from] IpFilterError),
}

/// Reads a list. Lines that are no rules are skipped, counted and told.
pub(crate) fn read(path: &Path) -> Result<ReadFilter, FilterFileError> {
    let mut file = BufReader::new(File::open(path)?);
    let mut reader = IpFilterReader::new(IpFilterLimits::default());
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(reader.finish()?);
        }
        if line.last() != Some(&b'\n') {
            // Too long for a rule, or the last one.
            file.skip_until(b'\n')?;
        }
        reader.on_line(&line)?;
    }
}

/// What to warn of, if lines were skipped.
pub(crate) fn warning(path: &Path, read: &ReadFilter) -> Option<String> {
    let first = read.bad.first()?;
    let lines = |n| if n == 1 { "1 line is no rule".to_owned() } else { format!("{n} lines are no rules") };
    Some(format!(
        "{}: {}, skipped; the first is line {}: {}",
        path.display(),
        lines(read.skipped),
        first.line,
        first.why
    ))
}

/// What is told of a list that was read.
pub(crate) fn summary(read: &ReadFilter) -> impl fmt::Display {
    format!("{} rules, {} ranges", read.rules, read.filter.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_line_by_line_and_what_is_no_rule_is_told() {
        let path = crate::disk::test_folder("filter").join("list");
        let long = "x".repeat(20_000);
        std::fs::write(&path, format!("10.0.0.0/8\n{long}\nnope\n192.0.2.1-192.0.2.9")).unwrap();
        let list = read(&path).unwrap();
        assert_eq!((list.rules, list.skipped), (2, 2));
        assert!(list.filter.forbids("192.0.2.9".parse().unwrap()));
        let told = warning(&path, &list).unwrap();
        assert!(
            told.ends_with("2 lines are no rules, skipped; the first is line 2: the line is too long"),
            "{told}"
        );
        std::fs::write(&path, "<html>\n").unwrap();
        assert!(matches!(read(&path), Err(FilterFileError::List(_))));
        assert!(matches!(read(&path.join("gone")), Err(FilterFileError::Read(_))));
    }
}
