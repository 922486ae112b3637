//! Feeds the body `mse_initiator`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::mse_initiator(data));
