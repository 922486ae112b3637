//! The items that others stored with us (BEP 44): bounded, each for as long as its last put lives.

use super::DhtConfig;
use super::farthest::farthest;
use super::item::Item;
use crate::base::Instant;
use crate::wire::krpc::{NodeId, code};
use alloc::collections::{BTreeMap, BTreeSet};

/// An item, and what goes with it.
#[derive(Debug)]
struct Stored {
    item: Item,
    until: Instant,
    /// Where it was put from first: its share is charged for it.
    network: u128,
}

/// All stored items.
#[derive(Debug, Default)]
pub(super) struct ItemStore {
    items: BTreeMap<NodeId, Stored>,
    bytes: usize,
    /// How many items each network has; none is kept with 0.
    of_network: BTreeMap<u128, u32>,
    expiry: BTreeSet<(Instant, NodeId)>,
}

impl ItemStore {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, target: NodeId) -> Option<&Item> {
        self.items.get(&target).map(|stored| &stored.item)
    }

    /// Someone of a `network` with a good token puts an item that was checked. The error is the code to answer with.
    pub(super) fn on_put(
        &mut self,
        now: Instant,
        (item, cas, network): (Item, Option<i64>, u128),
        own: NodeId,
        config: &DhtConfig,
    ) -> Result<(), i64> {
        let target = item.target();
        let until = now + config.item_lifetime;
        if let Some(stored) = self.items.get_mut(&target) {
            may_replace(&stored.item, &item, cas)?;
            let bytes = self.bytes - stored.item.value().len() + item.value().len();
            // A longer one finds no room by displacing others: it has its place already.
            if bytes > self.bytes.max(config.stored_items_bytes_max) {
                return Err(code::SERVER);
            }
            self.expiry.remove(&(stored.until, target));
            self.bytes = bytes;
            (stored.item, stored.until) = (item, until);
        } else {
            if self.of_network.get(&network).is_some_and(|&n| n >= config.stored_items_per_network_max) {
                return Err(code::SERVER);
            }
            self.make_room(target, item.value().len(), (own, config))?;
            self.bytes += item.value().len();
            *self.of_network.entry(network).or_default() += 1;
            self.items.insert(target, Stored { item, until, network });
        }
        self.expiry.insert((until, target));
        Ok(())
    }

    /// Forgets items that are farther from our id than a new one, until it fits; refuses it if none is.
    fn make_room(
        &mut self,
        target: NodeId,
        bytes: usize,
        (own, config): (NodeId, &DhtConfig),
    ) -> Result<(), i64> {
        while self.items.len() >= config.stored_items_max
            || self.bytes + bytes > config.stored_items_bytes_max
        {
            let gone =
                farthest(&self.items, own, NodeId).filter(|far| own.distance(*far) > own.distance(target));
            self.forget(gone.ok_or(code::SERVER)?);
        }
        Ok(())
    }

    fn forget(&mut self, target: NodeId) {
        let Some(Stored { item, until, network }) = self.items.remove(&target) else { return };
        self.bytes -= item.value().len();
        self.expiry.remove(&(until, target));
        if let Some(count) = self.of_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.of_network.remove(&network);
            }
        }
    }

    /// Forgets what nobody put again.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        while let Some(&(until, target)) = self.expiry.first() {
            if until > now {
                return;
            }
            self.expiry.pop_first();
            self.forget(target);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.expiry.first().map(|(until, _)| *until)
    }
}

/// BEP 44's rules for a second version of a mutable item; an immutable one is only renewed.
fn may_replace(stored: &Item, new: &Item, cas: Option<i64>) -> Result<(), i64> {
    let (Item::Mutable(stored), Item::Mutable(new)) = (stored, new) else { return Ok(()) };
    if cas.is_some_and(|cas| cas != stored.seq) {
        return Err(code::CAS);
    }
    let renewed = new.seq == stored.seq && new.value == stored.value;
    if new.seq > stored.seq || renewed { Ok(()) } else { Err(code::SEQUENCE) }
}

#[cfg(test)]
mod tests {
    use super::super::item::SecretKey;
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;
    use core::time::Duration;

    const OWN: NodeId = NodeId([0; 20]);

    fn version(seq: i64, value: &[u8]) -> Item {
        Item::Mutable(SecretKey::from_seed(&[5; 32]).sign(b"", seq, value).unwrap())
    }

    fn at(minutes: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(60 * minutes)
    }

    #[test]
    fn pitfall_10_bep_0044_versions_only_go_up_and_cas_compares_with_what_is_stored() {
        let (config, mut store) = (DhtConfig::default(), ItemStore::default());
        let mut put =
            |seq, value: &[u8], cas| store.on_put(at(0), (version(seq, value), cas, 1), OWN, &config);
        assert_eq!(put(3, b"1:a", Some(99)), Ok(()), "nothing to compare with yet");
        assert_eq!(put(2, b"1:b", None), Err(code::SEQUENCE));
        assert_eq!(put(3, b"1:b", None), Err(code::SEQUENCE), "the same number, another value");
        assert_eq!(put(3, b"1:a", None), Ok(()), "the same again renews it");
        assert_eq!(put(4, b"1:b", Some(2)), Err(code::CAS));
        assert_eq!(put(4, b"1:b", Some(3)), Ok(()));
        assert_eq!(store.get(version(1, b"1:x").target()).unwrap().seq(), Some(4));
        assert_eq!((store.len(), store.bytes()), (1, 3));
    }

    #[test]
    fn bep_0044_an_item_is_forgotten_after_two_hours_without_a_put() {
        let (config, mut store) = (DhtConfig::default(), ItemStore::default());
        store.on_put(at(0), (version(1, b"1:a"), None, 1), OWN, &config).unwrap();
        store.on_put(at(60), (version(1, b"1:a"), None, 2), OWN, &config).unwrap();
        store.on_timeout(at(120));
        assert_eq!((store.len(), store.deadline()), (1, Some(at(180))));
        store.on_timeout(at(180));
        assert_eq!((store.len(), store.bytes(), store.deadline()), (0, 0, None));
    }

    #[test]
    fn items_are_bounded_in_number_and_bytes_and_the_farthest_gives_way() {
        let config = DhtConfig { stored_items_max: 8, stored_items_bytes_max: 1000, ..DhtConfig::default() };
        let mut store = ItemStore::default();
        let mut refused = 0;
        for n in 0..200 {
            let value = format!("100:{n:0100}").into_bytes();
            let put = store.on_put(at(0), (Item::Immutable { value }, None, n), OWN, &config);
            refused += u32::from(put == Err(code::SERVER));
            assert!(store.len() <= 8 && store.bytes() <= 1000);
        }
        assert!(refused > 100 && store.len() == 8, "{refused}");
        let farthest = store.items.keys().map(|key| key.0[0]).max().unwrap();
        assert!(farthest < 64, "what stays is near: {farthest}");
        assert_eq!(store.of_network.len(), 8);
    }

    #[test]
    fn a_longer_version_of_an_item_is_bounded_as_a_new_item_is() {
        let config = DhtConfig { stored_items_bytes_max: 300, ..DhtConfig::default() };
        let mut store = ItemStore::default();
        let owners: Vec<_> = (0..5).map(|n| SecretKey::from_seed(&[n; 32])).collect();
        let long = [&b"200:"[..], &[b'x'; 200]].concat();
        let mut put = |n: usize, seq, value: &[u8]| {
            let item = Item::Mutable(owners[n].sign(b"", seq, value).unwrap());
            let put = store.on_put(at(0), (item, None, n as u128), OWN, &config);
            (put, store.bytes())
        };
        (0..5).for_each(|n| assert_eq!(put(n, 1, b"0:").0, Ok(())));
        let grown = (0..5).map(|n| put(n, 2, &long));
        let (mut taken, mut most) = (0, 0);
        grown.for_each(|(put, bytes)| {
            taken += u32::from(put == Ok(()));
            most = most.max(bytes);
        });
        assert!(most <= 300 && taken >= 1, "{most} bytes, {taken} taken");
        let sum: usize = store.items.values().map(|stored| stored.item.value().len()).sum();
        assert_eq!((store.bytes(), store.expiry.len()), (sum, store.len()));
    }

    #[test]
    fn a_network_has_a_share_of_the_items_and_gets_it_back_when_they_are_forgotten() {
        let config = DhtConfig { stored_items_per_network_max: 3, ..DhtConfig::default() };
        let mut store = ItemStore::default();
        let put = |store: &mut ItemStore, minutes, n: u32, network| {
            let item = Item::Immutable { value: format!("i{n}e").into_bytes() };
            store.on_put(at(minutes), (item, None, network), OWN, &config)
        };
        let stored = (0..9).filter(|&n| put(&mut store, 0, n, 1).is_ok()).count();
        assert_eq!((stored, store.len()), (3, 3));
        assert_eq!(put(&mut store, 1, 0, 1), Ok(()), "what is there may be renewed");
        assert_eq!(put(&mut store, 1, 1, 2), Ok(()), "by anyone, at nobody's cost");
        assert_eq!(put(&mut store, 1, 9, 2), Ok(()), "others have a share of their own");
        store.on_timeout(at(120));
        assert_eq!((put(&mut store, 120, 20, 1), put(&mut store, 120, 21, 1)), (Ok(()), Err(code::SERVER)));
        store.on_timeout(at(300));
        assert!(store.of_network.is_empty() && store.len() == 0);
    }
}
