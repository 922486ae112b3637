//! One BitTorrent session over any byte link: framing, choke and interest both ways, request pipeline, outbox, limits.
