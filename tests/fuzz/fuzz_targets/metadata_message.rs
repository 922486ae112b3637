//! Feeds the body `metadata_message`; owns nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_tests::fuzz::metadata_message(data));
