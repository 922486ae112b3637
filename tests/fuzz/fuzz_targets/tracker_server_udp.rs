//! Feeds the body `tracker_server_udp`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::tracker_server_udp(data));
