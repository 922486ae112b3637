//! Feeds the body `utp_packet`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::utp_packet(data));
