//! Feeds the body `resume`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::resume(data));
