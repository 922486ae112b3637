//! Feeds the body `tracker_udp_exchange`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::tracker_udp_exchange(data));
