//! Feeds the body `socks5_answer`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::socks5_answer(data));
