//! Feeds the body `ip_filter`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::ip_filter(data));
