//! Feeds the body `tracker_ws_link`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::tracker_ws_link(data));
