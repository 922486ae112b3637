//! Addresses of one swarm: source, back-off, ban, priority (BEP 40).
