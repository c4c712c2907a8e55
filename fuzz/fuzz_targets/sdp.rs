#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fake_camera::fuzz::sdp(bytes));
