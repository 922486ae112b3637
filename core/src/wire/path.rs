//! Names from strangers become names that are safe to create. A hostile name is renamed, always to the same, so that a
//! download never fails for it and never leaves its folder. It owns names alone: no file system is asked.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::hash::Hasher;
use siphasher::sip128::{Hasher128, SipHasher13};

/// The longest component that common file systems take, in bytes.
pub const COMPONENT_BYTES_MAX: usize = 255;

/// What a component is shortened to, so that a suffix that makes it unique still fits. Bytes.
const SHORTENED: usize = 240;

/// Which names the file system underneath cannot hold. Whatever the rules: `.`, `..`, empty, separators, control and
/// direction characters, invalid UTF-8 and over-long names are renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// Rename what Windows reserves: device names, `<>:"|?*\`, trailing dots and spaces. Off, such files keep the
    /// names that they have elsewhere, so that data made there is found again.
    pub windows_names: bool,
    /// Rename the second of two names that differ in case alone. Off, both are created as they are.
    pub folds_case: bool,
}

impl PathRules {
    /// Safe on every file system.
    pub const PORTABLE: Self = Self { windows_names: true, folds_case: true };
    /// Nothing is renamed that a Unix file system holds safely.
    pub const UNIX: Self = Self { windows_names: false, folds_case: false };
}

impl Default for PathRules {
    /// The rules of the system that this was built for.
    fn default() -> Self {
        Self { windows_names: cfg!(windows), folds_case: cfg!(any(windows, target_vendor = "apple")) }
    }
}

/// One component of a path (a file's or folder's name), made safe.
pub fn component(raw: &[u8], rules: PathRules) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut name: String = text.chars().map(|c| if is_hostile(c, rules) { '_' } else { c }).collect();
    if name.is_empty() {
        name.push('_');
    }
    if name == "." || name == ".." {
        name = name.replace('.', "_");
    }
    if rules.windows_names {
        replace_trailing(&mut name);
        if is_device(&name) {
            name.insert(0, '_');
        }
    }
    if name.len() > COMPONENT_BYTES_MAX {
        name = with_suffix(&name, "");
        if rules.windows_names {
            replace_trailing(&mut name); // the cut may have laid bare what may not end a name
        }
    }
    name
}

/// Windows drops trailing dots and spaces, so that another file would be meant.
fn replace_trailing(name: &mut String) {
    let kept = name.trim_end_matches(['.', ' ']).len();
    let trimmed = name.len() - kept;
    name.truncate(kept);
    name.extend(core::iter::repeat_n('_', trimmed));
}

fn is_hostile(c: char, rules: PathRules) -> bool {
    match c {
        '/' | char::REPLACEMENT_CHARACTER => true,
        // they turn the reading direction, so that `exe.txt` can be shown for `txt.exe`
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*' => rules.windows_names,
        other => other.is_control(),
    }
}

/// Windows keeps these for devices, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let numbered = |prefix: &str| {
        let rest = stem.get(..3).filter(|s| s.eq_ignore_ascii_case(prefix)).and_then(|_| stem.get(3..));
        rest.is_some_and(|rest| {
            let mut chars = rest.chars();
            matches!(chars.next(), Some('0'..='9' | '¹' | '²' | '³')) && chars.next().is_none()
        })
    };
    let named = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    named.iter().any(|device| stem.eq_ignore_ascii_case(device)) || numbered("com") || numbered("lpt")
}

/// Puts a suffix before the extension; shortens the name if it got too long.
fn with_suffix(name: &str, suffix: &str) -> String {
    let dot = name.rfind('.').filter(|&dot| dot > 0 && name.len() - dot <= 32).unwrap_or(name.len());
    let (stem, extension) = (name.get(..dot).unwrap_or(name), name.get(dot..).unwrap_or_default());
    let mut room = SHORTENED.saturating_sub(extension.len()).min(stem.len());
    while !stem.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{suffix}{extension}", stem.get(..room).unwrap_or_default())
}

/// Where a symbolic link points, from the torrent's root: `None` if it would leave the folder, or names itself nothing
/// (BEP 47). Components that are merely odd are renamed as the files' are.
pub fn link_target<'a>(raw: impl Iterator<Item = &'a [u8]>, rules: PathRules) -> Option<Vec<String>> {
    let mut target = Vec::new();
    for part in raw {
        let hostile = part.is_empty() || part == b"." || part == b"..";
        let separated = part.iter().any(|&b| b == b'/' || b == 0 || (b == b'\\' && rules.windows_names));
        if hostile || separated {
            return None;
        }
        target.push(component(part, rules));
    }
    (!target.is_empty()).then_some(target)
}

/// Makes paths differ: from each other, and each from every folder that another needs. The first keeps its name, the
/// next becomes `name~1.ext`, and so on. `None` stands for a file that is never created.
pub fn make_unique<'a>(paths: impl Iterator<Item = Option<&'a mut Vec<String>>>, rules: PathRules) {
    let mut paths: Vec<&mut Vec<String>> = paths.flatten().collect();
    let mut folders = BTreeSet::new();
    let mut before: &[String] = &[];
    for path in &paths {
        let parent = path.split_last().map_or(&[][..], |(_, parent)| parent);
        // files of one folder mostly stand together
        if parent == before {
            continue;
        }
        before = parent;
        let mut digest = PathDigest::default();
        for folder in parent {
            digest.push(folder, rules);
            folders.insert(digest.value());
        }
    }
    // the next suffix to try, so that a million files of one name cost no more than others
    let mut taken: BTreeMap<u128, u32> = BTreeMap::new();
    for path in &mut paths {
        let Some(last) = path.pop() else { continue };
        let mut parent = PathDigest::default();
        path.iter().for_each(|folder| parent.push(folder, rules));
        let wanted = parent.clone().with(&last, rules);
        let mut name = last.clone();
        let mut key = wanted;
        while folders.contains(&key) || taken.contains_key(&key) {
            let n = taken.get(&wanted).map_or(1, |n| n.saturating_add(1));
            taken.insert(wanted, n);
            name = with_suffix(&last, &format!("~{n}"));
            key = parent.clone().with(&name, rules);
        }
        taken.entry(key).or_insert(0);
        path.push(name);
    }
}

/// Names of paths in 16 bytes. Two paths that meet by a contrived collision are renamed for nothing: no harm.
#[derive(Clone)]
struct PathDigest(SipHasher13);

impl Default for PathDigest {
    fn default() -> Self {
        Self(SipHasher13::new())
    }
}

impl PathDigest {
    fn push(&mut self, component: &str, rules: PathRules) {
        if rules.folds_case {
            let mut buffer = [0; 4];
            for c in component.chars().flat_map(char::to_lowercase) {
                self.0.write(c.encode_utf8(&mut buffer).as_bytes());
            }
        } else {
            self.0.write(component.as_bytes());
        }
        self.0.write_u8(b'/');
    }

    fn with(mut self, component: &str, rules: PathRules) -> u128 {
        self.push(component, rules);
        self.value()
    }

    fn value(&self) -> u128 {
        self.0.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::vec;

    fn split(path: &str) -> Vec<String> {
        path.split('/').map(ToOwned::to_owned).collect()
    }

    fn portable(raw: &[u8]) -> String {
        component(raw, PathRules::PORTABLE)
    }

    fn unique(paths: &[&str], rules: PathRules) -> Vec<String> {
        let mut paths: Vec<Vec<String>> = paths.iter().map(|p| split(p)).collect();
        make_unique(paths.iter_mut().map(Some), rules);
        paths.iter().map(|p| p.join("/")).collect()
    }

    #[test]
    fn pitfall_18_a_component_never_leaves_its_folder() {
        for rules in [PathRules::PORTABLE, PathRules::UNIX] {
            assert_eq!(component(b"..", rules), "__");
            assert_eq!(component(b".", rules), "_");
            assert_eq!(component(b"", rules), "_");
            assert_eq!(component(b"../../etc/passwd", rules), ".._.._etc_passwd");
            assert_eq!(component(b"/", rules), "_");
            assert_eq!(component(b"a\0b\nc\x7f", rules), "a_b_c_");
            assert_eq!(component("a\u{202e}txt.exe".as_bytes(), rules), "a_txt.exe");
            assert_eq!(component(b"caf\xe9", rules), "caf_");
            assert_eq!(component("café …".as_bytes(), rules), "café …");
        }
    }

    #[test]
    fn pitfall_18_names_that_windows_reserves() {
        assert_eq!(portable(b"CON"), "_CON");
        assert_eq!(portable(b"aux.c"), "_aux.c");
        assert_eq!(portable(b"lpt9.txt.gz"), "_lpt9.txt.gz");
        assert_eq!(portable("com¹".as_bytes()), "_com¹");
        assert_eq!((portable(b"com10"), portable(b"console")), ("com10".into(), "console".into()));
        assert_eq!(portable(b"C:\\a?b"), "C__a_b");
        assert_eq!((portable(b"name. ."), portable(b" ...")), ("name___".into(), "____".into()));
        assert_eq!(component(b"aux.c", PathRules::UNIX), "aux.c");
        assert_eq!(component(b"what?", PathRules::UNIX), "what?");
    }

    #[test]
    fn pitfall_18_an_over_long_name_is_shortened_and_keeps_its_extension() {
        let name = portable(&[&b"x".repeat(300)[..], b".tar"].concat());
        assert_eq!(name.len(), SHORTENED);
        assert!(name.ends_with("x.tar"));
        let name = portable("é".repeat(200).as_bytes());
        assert!(name.len() <= COMPONENT_BYTES_MAX && name.chars().all(|c| c == 'é'));
        assert_eq!(portable(&b"x".repeat(255)).len(), 255);
        let cut_at_dots =
            portable(&[&b"x".repeat(100)[..], &b".".repeat(150), b"y/z", &b"x".repeat(50)].concat());
        assert!(!cut_at_dots.ends_with(['.', ' ']), "{cut_at_dots}: no cut leaves an end that Windows drops");
    }

    #[test]
    fn pitfall_18_two_files_of_one_name_both_survive() {
        let fold = PathRules::PORTABLE;
        assert_eq!(
            unique(&["A/x.txt", "a/X.TXT", "a/x~1.txt"], fold),
            ["A/x.txt", "a/X~1.TXT", "a/x~1~1.txt"]
        );
        assert_eq!(unique(&["x", "X"], PathRules::UNIX), ["x", "X"]);
        assert_eq!(unique(&["x", "x", "x"], PathRules::UNIX), ["x", "x~1", "x~2"]);
    }

    #[test]
    fn pitfall_18_a_file_that_is_also_a_folder_makes_way() {
        assert_eq!(unique(&["a", "a/b"], PathRules::UNIX), ["a~1", "a/b"]);
        assert_eq!(unique(&["a/b/c", "a", "a/b"], PathRules::UNIX), ["a/b/c", "a~1", "a/b~1"]);
    }

    #[test]
    fn a_great_many_files_of_one_name_end_soon() {
        let mut paths = vec![vec!["same".to_owned()]; 20_000];
        make_unique(paths.iter_mut().map(Some), PathRules::UNIX);
        assert_eq!(paths[19_999], ["same~19999"]);
    }

    #[test]
    fn pitfall_18_a_symlink_that_leaves_the_folder_is_refused() {
        let target = |parts: &[&[u8]]| link_target(parts.iter().copied(), PathRules::UNIX);
        assert_eq!(target(&[b"dir", b"file"]), Some(vec!["dir".into(), "file".into()]));
        for bad in [&[&b".."[..]][..], &[b"a", b"..", b".."], &[b"/etc/passwd"], &[b"", b"etc"], &[]] {
            assert_eq!(target(bad), None);
        }
    }
}
