//! Feeds the body `http_proxy_answer`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::http_proxy_answer(data));
