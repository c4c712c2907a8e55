#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| model_inference::fuzz::metadata(bytes));
