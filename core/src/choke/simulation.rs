//! A small swarm to compare policies in.
