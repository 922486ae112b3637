//! Who is here, and who left and may still be spoken of.

use crate::wire::pex::PexFlags;
use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;

/// While fewer than this are here, in an address family, others may be told of those who left recently; as many of them
/// are kept (BEP 11).
pub(super) const RECENT_MAX: usize = 25;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) addr: SocketAddr,
    pub(super) flags: PexFlags,
    /// The how-manieth it was to leave, counted from 1; 0 while it is here.
    pub(super) left: u64,
    /// How many peers were told of it and not yet that it is gone.
    told_to: u32,
    recent: bool,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    all: BTreeMap<u32, Member>,
    /// Those who are here.
    here: BTreeMap<SocketAddr, u32>,
    /// Those who left, in that order.
    gone: BTreeMap<u64, u32>,
    /// Those who left and are worth a try, IPv4 and IPv6.
    recent: [VecDeque<u32>; 2],
    /// How many of each family are here.
    counts: [usize; 2],
    leavings: u64,
}

impl Members {
    /// `false` if it is here already, or another peer with its address.
    pub(super) fn on_joined(&mut self, n: u32, addr: SocketAddr, flags: PexFlags) -> bool {
        if self.here.contains_key(&addr) || self.all.contains_key(&n) {
            return false;
        }
        self.here.insert(addr, n);
        self.counts[family(addr)] += 1;
        self.all.insert(n, Member { addr, flags, left: 0, told_to: 0, recent: false });
        true
    }

    pub(super) fn on_flags(&mut self, n: u32, flags: PexFlags) {
        if let Some(member) = self.all.get_mut(&n) {
            member.flags = flags;
        }
    }

    /// `false` if nobody has to hear of it.
    pub(super) fn on_left(&mut self, n: u32, worthy: bool) -> bool {
        let Some(member) = self.all.get_mut(&n).filter(|member| member.left == 0) else { return false };
        self.leavings += 1;
        (member.left, member.recent) = (self.leavings, worthy);
        let (addr, told_to) = (member.addr, member.told_to);
        self.here.remove(&addr);
        self.counts[family(addr)] -= 1;
        self.gone.insert(self.leavings, n);
        if worthy {
            let recent = &mut self.recent[family(addr)];
            recent.push_back(n);
            if recent.len() > RECENT_MAX
                && let Some(oldest) = recent.pop_front()
            {
                if let Some(member) = self.all.get_mut(&oldest) {
                    member.recent = false;
                }
                self.drop_if_done(oldest);
            }
        }
        self.drop_if_done(n);
        worthy || told_to > 0
    }

    /// Who left first of those who are still kept, if they are more than `max`.
    pub(super) fn oldest_gone(&self, max: usize) -> Option<u32> {
        if self.gone.len() > max { self.gone.first_key_value().map(|(_, &n)| n) } else { None }
    }

    /// Forgets someone who left.
    pub(super) fn remove(&mut self, n: u32) {
        if let Some(member) = self.all.remove(&n) {
            self.gone.remove(&member.left);
            self.recent[family(member.addr)].retain(|&other| other != n);
        }
    }

    /// Somebody was told of it.
    pub(super) fn hold(&mut self, n: u32) {
        if let Some(member) = self.all.get_mut(&n) {
            member.told_to += 1;
        }
    }

    /// Somebody was told that it is gone, or is gone itself.
    pub(super) fn release(&mut self, n: u32) {
        if let Some(member) = self.all.get_mut(&n) {
            member.told_to -= 1;
            self.drop_if_done(n);
        }
    }

    pub(super) fn get(&self, n: u32) -> Option<&Member> {
        self.all.get(&n)
    }

    /// Who is here with this address.
    pub(super) fn at(&self, addr: SocketAddr) -> Option<u32> {
        self.here.get(&addr).copied()
    }

    /// Those who are here, in the order of their addresses.
    pub(super) fn here(&self) -> impl Iterator<Item = (u32, &Member)> {
        self.here.values().filter_map(|&n| Some((n, self.all.get(&n)?)))
    }

    /// Those who left recently, of the families of which few are here.
    pub(super) fn recent(&self) -> impl Iterator<Item = (u32, &Member)> {
        let few = self.counts.iter().zip(&self.recent).filter(|&(&count, _)| count < RECENT_MAX);
        few.flat_map(|(_, recent)| recent).filter_map(|&n| Some((n, self.all.get(&n)?)))
    }

    pub(super) fn leavings(&self) -> u64 {
        self.leavings
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    fn drop_if_done(&mut self, n: u32) {
        if self.all.get(&n).is_some_and(|member| member.left > 0 && member.told_to == 0 && !member.recent) {
            self.remove(n);
        }
    }
}

fn family(addr: SocketAddr) -> usize {
    usize::from(addr.is_ipv6())
}
