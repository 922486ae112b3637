//! millstream: a BitTorrent engine on tokio. The library gives a body (sockets, disk, clock) to `millstream-core`.
