//! What others say our address on the Internet is (BEP 10's `yourip`, BEP 24), and whom to believe: a vote. Not who may
//! vote, nor what the answer is good for.

use alloc::collections::VecDeque;
use core::net::{IpAddr, Ipv6Addr};

/// Whoever speaks alone is not believed: a liar, or a proxy of its own, may be all that we know.
const AGREEING_MIN: usize = 2;

/// A vote on our address, IPv4 and IPv6 apart. `K` tells voters apart: each has one voice, its last.
#[derive(Clone, Debug)]
pub struct Vote<K> {
    voters_max: usize,
    v4: Count<K>,
    v6: Count<K>,
}

/// The vote in one family.
#[derive(Clone, Debug)]
struct Count<K> {
    /// Who said what, the newest last.
    voices: VecDeque<(K, IpAddr)>,
    elected: Option<IpAddr>,
}

impl<K: PartialEq> Vote<K> {
    /// Nobody has voted. The newest `voters_max` voices of a family count, about 40 bytes each: more make a minority of
    /// liars harder, and a change of our address slower to be seen.
    pub fn new(voters_max: usize) -> Self {
        let nobody = || Count { voices: VecDeque::new(), elected: None };
        Self { voters_max, v4: nobody(), v6: nobody() }
    }

    /// Someone says that it sees us at `ip`. Whether another address is elected by it.
    ///
    /// An address that isn't of the whole Internet counts for nothing: whoever sees us at one is in our own network, or
    /// lies, and the links show which addresses we have there.
    pub fn on_told(&mut self, ip: IpAddr, voter: K) -> bool {
        let ip = ip.to_canonical();
        if !is_public(ip) {
            return false;
        }
        let max = self.voters_max;
        let count = if ip.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        count.voices.retain(|(known, _)| *known != voter);
        count.voices.push_back((voter, ip));
        while count.voices.len() > max {
            count.voices.pop_front();
        }
        count.elect(ip)
    }

    /// Our IPv4 address, if enough agree on one.
    pub fn v4(&self) -> Option<IpAddr> {
        self.v4.elected
    }

    /// Our IPv6 address, if enough agree on one.
    pub fn v6(&self) -> Option<IpAddr> {
        self.v6.elected
    }
}

impl<K> Count<K> {
    /// An address that was just named wins with more than half of the voices. Who won stays until another wins.
    fn elect(&mut self, named: IpAddr) -> bool {
        let agreeing = self.voices.iter().filter(|(_, ip)| *ip == named).count();
        let wins = agreeing >= AGREEING_MIN && agreeing * 2 > self.voices.len();
        if !wins || self.elected == Some(named) {
            return false;
        }
        self.elected = Some(named);
        true
    }
}

/// Whether an address can be a host's in the whole Internet: not private, not for documents, not for many.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && b & 0xc0 == 64;
            let never = a == 0 || a >= 224;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared || never)
        }
        IpAddr::V6(ip) => is_public_6(ip),
    }
}

/// Only 2000::/3 is given out, of which 2001:db8::/32 is for documents.
fn is_public_6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    a & 0xe000 == 0x2000 && (a, b) != (0x2001, 0x0db8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "81.2.3.4";
    const LIE: &str = "72.6.6.6";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn bep_0024_one_voice_is_not_enough_and_two_are() {
        let mut vote = Vote::new(8);
        assert!(!vote.on_told(ip(OURS), 1));
        assert!(!vote.on_told(ip(OURS), 1), "the same voice again");
        assert_eq!(vote.v4(), None);
        assert!(vote.on_told(ip(OURS), 2));
        assert_eq!((vote.v4(), vote.v6()), (Some(ip(OURS)), None));
        assert!(!vote.on_told(ip(OURS), 3), "no news");
    }

    #[test]
    fn bep_0024_a_lying_minority_is_not_believed_however_often_it_speaks() {
        let mut vote = Vote::new(16);
        for voter in 0..4 {
            vote.on_told(ip(OURS), voter);
        }
        for _ in 0..100 {
            for liar in 4..7 {
                assert!(!vote.on_told(ip(LIE), liar));
            }
        }
        assert_eq!(vote.v4(), Some(ip(OURS)));
        let mut vote = Vote::new(16);
        vote.on_told(ip(OURS), 1);
        vote.on_told(ip(OURS), 2);
        vote.on_told(ip(LIE), 3);
        assert!(!vote.on_told(ip(LIE), 4), "half is no majority");
    }

    #[test]
    fn an_address_that_changed_wins_when_the_old_voices_are_outnumbered_or_forgotten() {
        let mut vote = Vote::new(4);
        for voter in 0..100 {
            vote.on_told(ip(OURS), voter);
        }
        let new = ip("81.9.9.9");
        let changed: std::vec::Vec<bool> = (100..104).map(|voter| vote.on_told(new, voter)).collect();
        assert_eq!(changed, [false, false, true, false], "the newest four count");
        assert_eq!(vote.v4(), Some(new));
    }

    #[test]
    fn an_address_that_is_not_of_the_whole_internet_counts_for_nothing() {
        let mut vote = Vote::new(8);
        let told = [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ];
        for text in told {
            for voter in 0..8 {
                assert!(!vote.on_told(ip(text), voter), "{text}");
            }
        }
        vote.on_told(ip(OURS), 1);
        assert!(vote.on_told(ip("::ffff:81.2.3.4"), 2), "they took no public address's place");
    }

    #[test]
    fn the_families_are_apart() {
        let mut vote = Vote::new(8);
        let six = ip("2a01:1::1");
        for voter in 0..5 {
            vote.on_told(ip(OURS), voter);
        }
        vote.on_told(six, 0);
        assert!(vote.on_told(six, 1));
        assert_eq!((vote.v4(), vote.v6()), (Some(ip(OURS)), Some(six)));
    }
}
