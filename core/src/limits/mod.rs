//! Leases of rates and slots.
