//! What strangers may make us send: queries a second of an address, bytes a second of a network, bytes in all. Windows of
//! one second, so that memory is bounded by what one second brings.

use super::DhtConfig;
use super::address::{household, network};
use crate::base::{Bucket, Instant, Key, Map, Rng};
use core::hash::Hash;
use core::net::IpAddr;
use core::time::Duration;

/// Addresses or networks told apart in one second; more share one account.
const ACCOUNTS_MAX: usize = 8_192;

/// Addresses that proved to be their senders', remembered for this long.
const PROOF_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// Of the bytes for all, one in so many is kept for those who have proved themselves: a flood with forged senders, which
/// costs its sender a tenth of the bytes, mustn't make us mute to nodes that know us.
const KEPT_FOR_PROVED: u64 = 4;

/// Counters that begin anew every second.
#[derive(Debug)]
struct Window<K> {
    key: Key,
    second: u64,
    counts: Map<K, u64>,
    overflow: u64,
}

impl<K: Hash + Eq> Window<K> {
    fn new(key: Key) -> Self {
        Self { key, second: 0, counts: Map::new(key), overflow: 0 }
    }

    /// Adds `n` unless it would exceed `max`.
    fn take(&mut self, now: Instant, account: K, (n, max): (u64, u64)) -> bool {
        let count = self.count(now, account);
        let fits = *count + n <= max;
        *count += if fits { n } else { 0 };
        fits
    }

    /// What an account has taken in this second.
    fn count(&mut self, now: Instant, account: K) -> &mut u64 {
        let second = now.as_micros() / 1_000_000;
        if second != self.second {
            (self.second, self.overflow) = (second, 0);
            self.counts = Map::new(self.key);
        }
        let full = self.counts.len() >= ACCOUNTS_MAX && !self.counts.contains(&account);
        if full { &mut self.overflow } else { self.counts.or_insert_with(account, || 0) }
    }
}

/// The accounts of all strangers.
#[derive(Debug)]
pub(super) struct Allowance {
    key: Key,
    queries: Window<IpAddr>,
    /// The same for addresses that proved themselves.
    proved_queries: Window<IpAddr>,
    replies: Window<u128>,
    /// The same for addresses that proved themselves.
    proved_replies: Window<u128>,
    total: Bucket,
    /// Who answered us or showed a token of ours. Two generations: the older one is dropped as a whole.
    proved: [Map<IpAddr, ()>; 2],
    generation_ends: Instant,
}

impl Allowance {
    pub(super) fn new(config: &DhtConfig, rng: &mut Rng) -> Self {
        let key = Key::draw(rng);
        let rate = config.reply_bytes_per_second_max;
        Self {
            key,
            queries: Window::new(key),
            proved_queries: Window::new(key),
            replies: Window::new(key),
            proved_replies: Window::new(key),
            total: Bucket::new(Some(rate), rate),
            proved: [Map::new(key), Map::new(key)],
            generation_ends: Instant::ZERO + PROOF_LIFETIME / 2,
        }
    }

    /// Whether one more query of `ip`, or of its /64, is served in this second.
    pub(super) fn takes_query(&mut self, now: Instant, ip: IpAddr, config: &DhtConfig) -> bool {
        let max = u64::from(config.address_queries_per_second_max);
        let proved = self.is_proved(now, ip);
        let window = if proved { &mut self.proved_queries } else { &mut self.queries };
        window.take(now, household(ip), (1, max))
    }

    /// An address showed what only its owner can know.
    pub(super) fn on_proved(&mut self, now: Instant, ip: IpAddr) {
        self.age(now);
        if self.proved[0].len() < ACCOUNTS_MAX {
            self.proved[0].insert(ip, ());
        }
    }

    /// Whether `bytes` may be sent to `ip` as an answer; if so they are paid for.
    pub(super) fn pays(&mut self, now: Instant, (ip, bytes): (IpAddr, usize), config: &DhtConfig) -> bool {
        let bytes = bytes as u64;
        if self.left(now, ip, config) < bytes {
            return false;
        }
        let (window, max) = self.window(now, ip, config);
        if !window.take(now, network(ip), (bytes, max)) {
            return false;
        }
        self.total.take(now, bytes);
        true
    }

    /// Whether `pays` would let as many bytes go: to be asked before an answer that takes work. Nothing is paid for.
    pub(super) fn could_pay(
        &mut self,
        now: Instant,
        (ip, bytes): (IpAddr, usize),
        config: &DhtConfig,
    ) -> bool {
        let bytes = bytes as u64;
        let (window, max) = self.window(now, ip, config);
        *window.count(now, network(ip)) + bytes <= max && self.left(now, ip, config) >= bytes
    }

    /// What is left for an address of the bytes for all.
    fn left(&mut self, now: Instant, ip: IpAddr, config: &DhtConfig) -> u64 {
        let kept = config.reply_bytes_per_second_max / KEPT_FOR_PROVED;
        let kept = if self.is_proved(now, ip) { 0 } else { kept };
        self.total.available(now).saturating_sub(kept)
    }

    /// Whose account pays for an address, and how much there is in a second.
    fn window(&mut self, now: Instant, ip: IpAddr, config: &DhtConfig) -> (&mut Window<u128>, u64) {
        if self.is_proved(now, ip) {
            (&mut self.proved_replies, config.dht_proved_reply_bytes_per_second)
        } else {
            (&mut self.replies, config.dht_reply_bytes_per_second)
        }
    }

    fn is_proved(&mut self, now: Instant, ip: IpAddr) -> bool {
        self.age(now);
        self.proved.iter().any(|proved| proved.contains(&ip))
    }

    fn age(&mut self, now: Instant) {
        if now >= self.generation_ends {
            self.generation_ends = now + PROOF_LIFETIME / 2;
            self.proved.swap(0, 1);
            self.proved[0] = Map::new(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([198, 51, 100, n])
    }

    #[test]
    fn pitfall_21_addresses_of_one_network_share_a_byte_bucket_until_they_prove_themselves() {
        let config = DhtConfig::default();
        let mut allowance = Allowance::new(&config, &mut Rng::new([1; 32]));
        let now = Instant::from_micros(5_000_000);
        let sent: usize =
            (0..1_000).map(|n| n as u8).filter(|&n| allowance.pays(now, (ip(n), 1_000), &config)).count();
        assert_eq!(sent, 65, "64 KiB a second for the whole /24");
        assert!(
            allowance.pays(now, (IpAddr::from([198, 51, 101, 1]), 1_000), &config),
            "others are not concerned"
        );
        allowance.on_proved(now, ip(7));
        assert!(allowance.pays(now, (ip(7), 1_000), &config));
        assert!(!allowance.pays(now, (ip(8), 1_000), &config));
        let later = now + Duration::from_secs(1);
        assert!(allowance.pays(later, (ip(8), 1_000), &config));
    }

    #[test]
    fn a_network_that_proved_itself_gets_more_and_not_all() {
        let config = DhtConfig::default();
        let mut allowance = Allowance::new(&config, &mut Rng::new([1; 32]));
        let now = Instant::from_micros(5_000_000);
        (0..4).for_each(|n| allowance.on_proved(now, ip(n)));
        let sent =
            (0..2_000_u16).filter(|n| allowance.pays(now, (ip((n % 4) as u8), 1_000), &config)).count();
        assert_eq!(sent, 262, "256 KiB a second for all who proved themselves in the /24");
        assert!(allowance.pays(now, (IpAddr::from([198, 51, 101, 1]), 1_000), &config), "something is left");
    }

    #[test]
    fn asking_whether_an_answer_could_be_paid_for_costs_nothing() {
        let config = DhtConfig::default();
        let mut allowance = Allowance::new(&config, &mut Rng::new([1; 32]));
        let now = Instant::from_micros(5_000_000);
        assert!((0..1_000).all(|_| allowance.could_pay(now, (ip(1), 1_024), &config)));
        assert!(allowance.pays(now, (ip(1), 64 << 10), &config));
        assert!(!allowance.could_pay(now, (ip(2), 1_024), &config));
    }

    #[test]
    fn answers_to_all_together_have_a_rate() {
        let config = DhtConfig { reply_bytes_per_second_max: 10_000, ..DhtConfig::default() };
        let mut allowance = Allowance::new(&config, &mut Rng::new([1; 32]));
        let sent = (0..100_u8)
            .filter(|&n| allowance.pays(Instant::ZERO, (IpAddr::from([1, 2, n, 4]), 1_000), &config));
        assert_eq!(sent.count(), 7, "the rest is kept for those who have proved themselves");
    }

    #[test]
    fn queries_of_one_address_are_counted_by_the_second() {
        let config = DhtConfig { address_queries_per_second_max: 3, ..DhtConfig::default() };
        let mut allowance = Allowance::new(&config, &mut Rng::new([1; 32]));
        let served = |allowance: &mut Allowance, now| {
            (0..9).filter(|_| allowance.takes_query(now, ip(1), &config)).count()
        };
        assert_eq!(served(&mut allowance, Instant::ZERO), 3);
        assert!(allowance.takes_query(Instant::ZERO, ip(2), &config));
        assert_eq!(served(&mut allowance, Instant::from_micros(1_000_000)), 3);
    }

    #[test]
    fn a_flood_with_forged_senders_leaves_something_to_those_who_have_proved_themselves() {
        let config = DhtConfig { reply_bytes_per_second_max: 100_000, ..DhtConfig::default() };
        let mut allowance = Allowance::new(&config, &mut Rng::new([1; 32]));
        allowance.on_proved(Instant::ZERO, ip(7));
        for n in 0..20_000_u32 {
            let forged = IpAddr::from((0x0100_0000 + (n << 8)).to_be_bytes());
            allowance.takes_query(Instant::ZERO, forged, &config);
            allowance.pays(Instant::ZERO, (forged, 100), &config);
        }
        assert!(!allowance.takes_query(Instant::ZERO, ip(8), &config));
        assert!(!allowance.could_pay(Instant::ZERO, (ip(8), 100), &config));
        assert!(allowance.takes_query(Instant::ZERO, ip(7), &config));
        let answers = (0..1_000).filter(|_| allowance.pays(Instant::ZERO, (ip(7), 100), &config));
        assert_eq!(answers.count(), 250, "a quarter of the bytes");
    }

    #[test]
    fn a_host_of_ipv6_has_a_whole_network_and_is_one_asker() {
        let config = DhtConfig { address_queries_per_second_max: 3, ..DhtConfig::default() };
        let mut allowance = Allowance::new(&config, &mut Rng::new([1; 32]));
        let face = |network: u16, n: u16| IpAddr::from([0x2a01, 0x200, 0, network, 0, 0, n >> 8, n]);
        let served = (0..20_000).filter(|&n| allowance.takes_query(Instant::ZERO, face(1, n), &config));
        assert_eq!(served.count(), 3);
        assert!(allowance.takes_query(Instant::ZERO, face(2, 0), &config), "others are served as before");
        assert!(allowance.takes_query(Instant::ZERO, ip(1), &config));
    }

    #[test]
    fn a_flood_from_everywhere_takes_bounded_memory() {
        let config = DhtConfig { reply_bytes_per_second_max: u64::MAX >> 8, ..DhtConfig::default() };
        let mut allowance = Allowance::new(&config, &mut Rng::new([1; 32]));
        for n in 0..40_000_u32 {
            let ip = IpAddr::from((0x0100_0000 + (n << 8)).to_be_bytes());
            allowance.takes_query(Instant::ZERO, ip, &config);
            allowance.pays(Instant::ZERO, (ip, 10), &config);
            allowance.on_proved(Instant::ZERO, ip);
        }
        assert_eq!(allowance.queries.counts.len(), ACCOUNTS_MAX);
        assert_eq!(allowance.replies.counts.len(), ACCOUNTS_MAX);
        assert_eq!(allowance.proved[0].len(), ACCOUNTS_MAX);
        assert!(allowance.proved_replies.counts.len() <= ACCOUNTS_MAX);
    }
}
