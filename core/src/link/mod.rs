//! Stacks carrier, handshake and session; owns links that have no torrent yet.
