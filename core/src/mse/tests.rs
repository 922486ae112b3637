//! Both sides face to face, and strangers who lie.
