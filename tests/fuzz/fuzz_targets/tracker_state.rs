//! Feeds the body `tracker_state`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::tracker_state(data));
