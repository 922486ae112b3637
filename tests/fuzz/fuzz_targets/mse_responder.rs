//! Feeds the body `mse_responder`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::mse_responder(data));
