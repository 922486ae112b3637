//! Tracker tiers (BEP 12) and the exchanges with HTTP and UDP trackers.
