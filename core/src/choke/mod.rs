//! Who is unchoked: pure functions over a slice of peer views, one per policy.
