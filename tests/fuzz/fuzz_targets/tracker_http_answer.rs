//! Feeds the body `tracker_http_answer`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::tracker_http_answer(data));
