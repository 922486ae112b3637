//! Feeds the body `utp_streams`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::utp_streams(data));
