//! Feeds the body `engine_ops`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::engine_ops(data));
