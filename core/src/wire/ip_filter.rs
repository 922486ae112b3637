//! Lists of addresses that nobody is to be connected with: the formats they come in (eMule's `ipfilter.dat`,
//! PeerGuardian's text, CIDR), and the set of ranges they become. Whom the set is applied to is the engine's.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a line that are looked at; a longer line is no rule.
pub const LINE_BYTES_MAX: usize = 1024;

/// Access levels above this one permit (eMule).
const LEVEL_FORBIDDEN_MAX: u32 = 127;

/// Characters of the longest text of an address.
const ADDRESS_CHARS_MAX: usize = 45;

/// Bounds of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpFilterLimits {
    /// Ranges of one list; with more the whole list is refused, since half a filter is worse than none. 8 bytes each
    /// for IPv4, 32 for IPv6.
    pub ranges_max: usize,
    /// Bad lines that are reported by number; more are only counted.
    pub reports_max: usize,
}

impl Default for IpFilterLimits {
    fn default() -> Self {
        Self { ranges_max: 4_000_000, reports_max: 10 }
    }
}

/// Why a line is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("the line is too long")]
    Long,
    /// No range, network or address is found in it.
    #[error("no address range")]
    Unknown,
    /// The two ends are of different families.
    #[error("the ends are of different address families")]
    Families,
    /// Its end lies before its beginning.
    #[error("the range ends before it begins")]
    Backwards,
    /// The length of a network's prefix is longer than an address.
    #[error("no such prefix length")]
    Prefix,
    /// The access level is no number.
    #[error("the access level is no number")]
    Level,
}

/// A line that was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: LineError,
}

/// Why a list can't be used. Whoever gave it is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpFilterError {
    /// Not one of its lines is a rule.
    #[error("no line is a rule{}", match .first { Some(bad) => alloc::format!("; line {}: {}", bad.line, bad.why), None => alloc::string::String::new() })]
    Empty {
        /// The first line that is none.
        first: Option<BadLine>,
    },
    /// More ranges than [`IpFilterLimits::ranges_max`].
    #[error("more than {0} ranges")]
    TooMany(usize),
}

/// What became of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ReadFilter {
    /// The set.
    pub filter: IpFilter,
    /// Lines that are rules.
    pub rules: u64,
    /// Lines that are neither rules nor comments.
    pub skipped: u64,
    /// The first of these.
    pub bad: Vec<BadLine>,
}

/// A set of addresses that are forbidden: sorted ranges without overlap, looked up in O(log n).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpFilter {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl IpFilter {
    /// Reads a whole list. Formats may be mixed, a line each; empty lines and those that begin with `#`, `;` or `//`
    /// say nothing. Bad lines are skipped and told.
    pub fn read(list: &[u8], limits: &IpFilterLimits) -> Result<ReadFilter, IpFilterError> {
        let mut reader = IpFilterReader::new(*limits);
        for line in list.split(|&b| b == b'\n') {
            reader.on_line(line)?;
        }
        reader.finish()
    }

    /// The set of these ranges, both ends inclusive. A range whose ends don't fit together is left out.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> Self {
        let mut filter = Self::default();
        for (first, last) in ranges {
            if let Ok(range) = Range::new(first, last) {
                filter.push(range);
            }
        }
        filter.settle();
        filter
    }

    /// Whether an address is in the set. An IPv4 address in its mapped form counts as itself.
    pub fn forbids(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => contains(&self.v4, u32::from(ip)),
            IpAddr::V6(ip) => contains(&self.v6, u128::from(ip)),
        }
    }

    /// Ranges after merging.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether nothing is forbidden.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ranges, IPv4 first, each family in order.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let v4 = self.v4.iter().map(|&(a, b)| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into()));
        let v6 = self.v6.iter().map(|&(a, b)| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into()));
        v4.chain(v6)
    }

    fn push(&mut self, range: Range) {
        match range {
            Range::V4(first, last) => self.v4.push((first, last)),
            Range::V6(first, last) => self.v6.push((first, last)),
        }
    }

    fn settle(&mut self) {
        merge(&mut self.v4, |end| end.checked_add(1));
        merge(&mut self.v6, |end| end.checked_add(1));
    }
}

/// Reads a list line by line, so that a large file needs not be in memory.
#[derive(Debug)]
pub struct IpFilterReader {
    limits: IpFilterLimits,
    filter: IpFilter,
    lines: u64,
    rules: u64,
    skipped: u64,
    bad: Vec<BadLine>,
}

impl IpFilterReader {
    /// Nothing read yet.
    pub fn new(limits: IpFilterLimits) -> Self {
        Self { limits, filter: IpFilter::default(), lines: 0, rules: 0, skipped: 0, bad: Vec::new() }
    }

    /// Takes the next line, with or without its end.
    pub fn on_line(&mut self, line: &[u8]) -> Result<(), IpFilterError> {
        self.lines += 1;
        match read_line(line) {
            Ok(Line::Nothing) => {}
            Ok(Line::Permits) => self.rules += 1,
            Ok(Line::Forbids(range)) => {
                self.rules += 1;
                self.filter.push(range);
                // Twice as many wait for their merging, so that each merging is paid for by as many lines.
                if self.filter.len() > self.limits.ranges_max.saturating_mul(2) {
                    self.settle()?;
                }
            }
            Err(why) => {
                self.skipped += 1;
                if self.bad.len() < self.limits.reports_max.max(1) {
                    self.bad.push(BadLine { line: self.lines, why });
                }
            }
        }
        Ok(())
    }

    /// The list is at its end.
    pub fn finish(mut self) -> Result<ReadFilter, IpFilterError> {
        if self.rules == 0 {
            return Err(IpFilterError::Empty { first: self.bad.first().copied() });
        }
        self.settle()?;
        Ok(ReadFilter { filter: self.filter, rules: self.rules, skipped: self.skipped, bad: self.bad })
    }

    fn settle(&mut self) -> Result<(), IpFilterError> {
        self.filter.settle();
        let fits = self.filter.len() <= self.limits.ranges_max;
        if fits { Ok(()) } else { Err(IpFilterError::TooMany(self.limits.ranges_max)) }
    }
}

/// What one line says.
enum Line {
    Nothing,
    Permits,
    Forbids(Range),
}

/// Both ends inclusive.
#[derive(Clone, Copy)]
enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

impl Range {
    fn new(first: IpAddr, last: IpAddr) -> Result<Self, LineError> {
        let range = match (first.to_canonical(), last.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Self::V4(first.into(), last.into()),
            (IpAddr::V6(first), IpAddr::V6(last)) => Self::V6(first.into(), last.into()),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(LineError::Families);
            }
        };
        let in_order = match range {
            Self::V4(first, last) => first <= last,
            Self::V6(first, last) => first <= last,
        };
        in_order.then_some(range).ok_or(LineError::Backwards)
    }

    fn network(ip: IpAddr, length: u32) -> Result<Self, LineError> {
        match ip {
            IpAddr::V4(ip) => {
                let host = u32::MAX.checked_shr(length).unwrap_or(0);
                let first = u32::from(ip) & !host;
                if length > 32 { Err(LineError::Prefix) } else { Ok(Self::V4(first, first | host)) }
            }
            IpAddr::V6(ip) => {
                if let (Some(v4), 96..=128) = (ip.to_ipv4_mapped(), length) {
                    return Self::network(v4.into(), length - 96);
                }
                let host = u128::MAX.checked_shr(length).unwrap_or(0);
                let first = u128::from(ip) & !host;
                if length > 128 { Err(LineError::Prefix) } else { Ok(Self::V6(first, first | host)) }
            }
        }
    }
}

fn read_line(line: &[u8]) -> Result<Line, LineError> {
    let line = line.trim_ascii();
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    if line.is_empty() || line.starts_with(b"#") || line.starts_with(b";") || line.starts_with(b"//") {
        return Ok(Line::Nothing);
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::Long);
    }
    if let Some(line) = emule(line) {
        return line;
    }
    if let Some(network) = network(line) {
        return network.map(Line::Forbids);
    }
    if let Some(ip) = address(line) {
        return Range::new(ip, ip).map(Line::Forbids);
    }
    peer_guardian(line).map(Line::Forbids)
}

/// `first - last , level , name`, and `first - last` alone. `None` if it doesn't look like that.
fn emule(line: &[u8]) -> Option<Result<Line, LineError>> {
    let mut parts = line.splitn(3, |&b| b == b',');
    let (first, last) = split_once(parts.next()?, b'-')?;
    let range = Range::new(address(first)?, address(last)?);
    let level = match parts.next().map(|level| number(level.trim_ascii())) {
        None => 0,
        Some(Some(level)) => level,
        Some(None) => return Some(Err(LineError::Level)),
    };
    let rule = |range| if level > LEVEL_FORBIDDEN_MAX { Line::Permits } else { Line::Forbids(range) };
    Some(range.map(rule))
}

/// `address/length`.
fn network(line: &[u8]) -> Option<Result<Range, LineError>> {
    let (ip, length) = split_once(line, b'/')?;
    let ip = address(ip)?;
    // A remark may stand behind it.
    let length =
        length.split(|&b| b.is_ascii_whitespace() || b == b'#' || b == b',').find(|part| !part.is_empty());
    Some(length.and_then(number).ok_or(LineError::Prefix).and_then(|length| Range::network(ip, length)))
}

/// `name:first-last`, where the name may hold colons and dashes too: the addresses are the last.
fn peer_guardian(line: &[u8]) -> Result<Range, LineError> {
    let dash = line.iter().rposition(|&b| b == b'-').ok_or(LineError::Unknown)?;
    let (before, last) = (line.get(..dash).unwrap_or_default(), line.get(dash + 1..).unwrap_or_default());
    let last = address(last).ok_or(LineError::Unknown)?;
    // An IPv6 address holds colons itself: the longest text that is one, in order with the other end, is it.
    let before = before.trim_ascii_end();
    let from = before.len().saturating_sub(ADDRESS_CHARS_MAX + 1);
    let near = before.get(from..).unwrap_or_default();
    let mut why = LineError::Unknown;
    for (at, _) in near.iter().enumerate().filter(|&(_, &b)| b == b':') {
        if let Some(first) = near.get(at + 1..).and_then(address) {
            match Range::new(first, last) {
                Ok(range) => return Ok(range),
                Err(error) => why = error,
            }
        }
    }
    Err(why)
}

/// An address; octets of IPv4 may have leading zeros and are decimal all the same, as these lists have them.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = text.trim_ascii();
    if text.len() > ADDRESS_CHARS_MAX {
        return None;
    }
    if text.contains(&b':') {
        return core::str::from_utf8(text).ok()?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0; 4];
    let mut parts = text.split(|&b| b == b'.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() <= 3)?;
        *octet = u8::try_from(number(part)?).ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets).into())
}

fn number(digits: &[u8]) -> Option<u32> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(digits).ok().filter(|_| all)?.parse().ok()
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let found = bytes.iter().position(|&b| b == at)?;
    Some((bytes.get(..found)?, bytes.get(found + 1..)?))
}

fn contains<T: Copy + Ord>(ranges: &[(T, T)], ip: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= ip);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|&(_, last)| ip <= last)
}

/// Sorts, and joins what overlaps or touches.
fn merge<T: Copy + Ord>(ranges: &mut Vec<(T, T)>, after: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let touches = after(kept.1).is_none_or(|beyond| next.0 <= beyond);
        if touches {
            kept.1 = kept.1.max(next.1);
        }
        touches
    });
    ranges.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use std::string::ToString as _;
    use std::vec;

    fn read(list: &str) -> ReadFilter {
        IpFilter::read(list.as_bytes(), &IpFilterLimits::default()).unwrap()
    }

    fn forbids(filter: &IpFilter, ips: &[&str]) -> Vec<bool> {
        ips.iter().map(|ip| filter.forbids(ip.parse().unwrap())).collect()
    }

    #[test]
    fn emules_lines_forbid_up_to_level_127_and_zeros_lead_no_octal() {
        let read = read(
            "# a list\n001.002.004.000 - 001.002.004.255 , 000 , Some Org\r\n\
             5.6.7.8 - 5.6.7.10 , 127 , edge, with a comma\n9.9.9.9 - 9.9.9.9 , 128 , permitted\n",
        );
        let expected = [true, true, false, true, false, false];
        let ips = ["1.2.4.0", "1.2.4.255", "1.2.5.0", "5.6.7.9", "5.6.7.11", "9.9.9.9"];
        assert_eq!(forbids(&read.filter, &ips), expected);
        assert_eq!((read.rules, read.skipped, read.filter.len()), (3, 0, 2));
        let octal = super::address(b"010.000.000.001");
        assert_eq!(octal, Some("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn peer_guardians_names_may_hold_colons_and_dashes() {
        let read = read(
            "Bad-Org: section 1:1.0.0.0-1.0.0.9\nPlain:2.0.0.0-2.0.0.0\n\
             Six:2001:db8::1-2001:db8::ff\nSix-2: x:2001:db9::-2001:db9::1\n",
        );
        let ips = ["1.0.0.9", "1.0.0.10", "2.0.0.0", "2001:db8::80", "2001:db8::100", "2001:db9::1"];
        assert_eq!(forbids(&read.filter, &ips), [true, false, true, true, false, true]);
        assert_eq!(read.skipped, 0);
    }

    #[test]
    fn networks_and_single_addresses_of_both_families() {
        let read = read("10.1.2.3/8\n2001:db8::/32 # doc\n192.0.2.7\n::ffff:198.51.100.0/120\n0.0.0.0/32\n");
        let ips = ["10.255.0.1", "11.0.0.0", "2001:db8:ffff::", "2001:db9::", "192.0.2.7", "198.51.100.255"];
        assert_eq!(forbids(&read.filter, &ips), [true, false, true, false, true, true]);
        assert!(read.filter.forbids("::ffff:10.0.0.1".parse().unwrap()), "the mapped form counts as itself");
        assert!(self::read("0.0.0.0/0").filter.forbids("255.255.255.255".parse().unwrap()));
        assert!(self::read("::/0").filter.forbids("::1".parse().unwrap()));
    }

    #[test]
    fn bad_lines_are_skipped_counted_and_told_by_number() {
        let read = read(
            "hello\n1.1.1.1\n1.0.0.9 - 1.0.0.1 , 0 , x\n1.2.3.4/33\n::1 - 1.1.1.1 , 0, x\n1.1.1.1-1.1.1.1,x,y\n",
        );
        assert_eq!((read.rules, read.skipped), (1, 5));
        let bad: Vec<(u64, LineError)> = read.bad.iter().map(|bad| (bad.line, bad.why)).collect();
        let expected = [
            (1, LineError::Unknown),
            (3, LineError::Backwards),
            (4, LineError::Prefix),
            (5, LineError::Families),
            (6, LineError::Level),
        ];
        assert_eq!(bad, expected);
    }

    #[test]
    fn a_list_without_a_rule_is_an_error_and_so_is_one_that_is_too_long() {
        let limits = IpFilterLimits { ranges_max: 3, reports_max: 2 };
        let error = IpFilter::read(b"<html>\nnope", &limits).unwrap_err();
        assert_eq!(error.to_string(), "no line is a rule; line 1: no address range");
        assert_eq!(IpFilter::read(b"", &limits), Err(IpFilterError::Empty { first: None }));
        let many = b"1.0.0.1\n1.0.0.3\n1.0.0.5\n1.0.0.7\n";
        assert_eq!(IpFilter::read(many, &limits), Err(IpFilterError::TooMany(3)));
        let long = vec![b'1'; LINE_BYTES_MAX + 1];
        let read = IpFilter::read(&[&b"1.1.1.1\n"[..], &long].concat(), &limits).unwrap();
        assert_eq!(read.bad, [BadLine { line: 2, why: LineError::Long }]);
    }

    #[test]
    fn ranges_that_overlap_or_touch_become_one() {
        let limits = IpFilterLimits { ranges_max: 2, reports_max: 1 };
        let list = b"1.0.0.4-1.0.0.9\n1.0.0.0-1.0.0.3\n1.0.0.2-1.0.0.5\n255.255.255.255\n255.0.0.0/8";
        let read = IpFilter::read(list, &limits).unwrap();
        let expected = [("1.0.0.0", "1.0.0.9"), ("255.0.0.0", "255.255.255.255")];
        let expected: Vec<(IpAddr, IpAddr)> =
            expected.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).to_vec();
        assert_eq!(read.filter.ranges().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_look_up_says_what_a_walk_over_all_ranges_says() {
        let mut rng = Rng::new([9; 32]);
        let mut small = |below| Ipv4Addr::from(rng.below(below) as u32);
        let ranges: Vec<(IpAddr, IpAddr)> = (0..200)
            .map(|_| {
                let first = small(4000);
                (first.into(), Ipv4Addr::from(u32::from(first) + u32::from(small(12))).into())
            })
            .collect();
        let filter = IpFilter::from_ranges(ranges.iter().copied());
        for n in 0..4100u32 {
            let ip = IpAddr::from(Ipv4Addr::from(n));
            assert_eq!(filter.forbids(ip), ranges.iter().any(|&(a, b)| a <= ip && ip <= b), "{ip}");
        }
    }

    #[test]
    fn a_million_ranges_take_eight_bytes_each() {
        let mut reader = IpFilterReader::new(IpFilterLimits::default());
        for n in 0..1_000_000u32 {
            let ip = Ipv4Addr::from(n * 4);
            reader.on_line(std::format!("{ip} - {ip} , 0 , x").as_bytes()).unwrap();
        }
        let filter = reader.finish().unwrap().filter;
        assert_eq!(filter.len(), 1_000_000);
        assert_eq!(filter.v4.capacity() * size_of::<(u32, u32)>(), 8_000_000);
        assert!(filter.forbids(Ipv4Addr::from(4 * 999_999).into()));
        assert!(!filter.forbids(Ipv4Addr::from(4 * 999_999 + 1).into()));
    }
}
