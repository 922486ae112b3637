//! Feeds the body `magnet`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::magnet(data));
