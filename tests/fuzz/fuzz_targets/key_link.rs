//! Feeds the body `key_link`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::key_link(data));
