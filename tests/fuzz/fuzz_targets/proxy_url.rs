//! Feeds the body `proxy_url`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::proxy_url(data));
