//! Feeds the body `peer_session`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::peer_session(data));
