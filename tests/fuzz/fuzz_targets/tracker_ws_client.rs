//! Feeds the body `tracker_ws_client`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::tracker_ws_client(data));
