//! Feeds the body `krpc`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::krpc(data));
