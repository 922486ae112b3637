//! Feeds the body `tracker_ws`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::tracker_ws(data));
