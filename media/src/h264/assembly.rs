//! openh264's trace: kept quiet, and asked once whether the library was built with its assembly code.
//!
//! Its build falls back to plain C++ without a word when `nasm` is missing, and then decodes up to twice as slowly.
//! The library tells only in its trace: an encoder with assembly code reports the processor's features.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use openh264::encoder::Encoder;
use openh264::formats::YUVSlices;
use openh264_sys2::{
    ENCODER_OPTION_TRACE_CALLBACK, ENCODER_OPTION_TRACE_CALLBACK_CONTEXT,
    ENCODER_OPTION_TRACE_LEVEL, WELS_LOG_INFO, WELS_LOG_QUIET,
};

/// Keeps an encoder that is not initialised yet from writing to standard error.
pub(super) fn keep_quiet(encoder: &mut Encoder) {
    let mut level: c_int = WELS_LOG_QUIET;
    // SAFETY: the option reads one `int`.
    unsafe {
        encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast());
    }
}

/// Tells whether the H.264 code runs with assembly; on processors other than x86 it always does.
///
/// Costs a few milliseconds: meant for start-up.
pub fn built_with_assembly() -> bool {
    if !cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        return true;
    }
    let seen = AtomicBool::new(false);
    // An encoder that cannot be made tells nothing; it will be reported where it is needed.
    let Ok(mut encoder) = Encoder::new() else {
        return true;
    };
    trace_to(&mut encoder, &seen);
    let planes = ([0_u8; 256], [0_u8; 64], [0_u8; 64]);
    let picture = YUVSlices::new((&planes.0, &planes.1, &planes.2), (16, 16), (16, 8, 8));
    let initialised = encoder.encode(&picture).is_ok();
    drop(encoder);
    !initialised || seen.load(Ordering::Relaxed)
}

/// Makes an encoder report to `seen` while it is initialised, which its first picture does.
fn trace_to(encoder: &mut Encoder, seen: &AtomicBool) {
    let mut level: c_int = WELS_LOG_INFO;
    let mut callback: unsafe extern "C" fn(*mut c_void, c_int, *const c_char) = note;
    let mut context = std::ptr::from_ref(seen).cast_mut().cast::<c_void>();
    // SAFETY: each option reads one value of the type that its pointer points to; `seen` outlives the encoder,
    // which our caller drops first, and is only used through a shared reference.
    unsafe {
        let api = encoder.raw_api();
        api.set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast());
        api.set_option(ENCODER_OPTION_TRACE_CALLBACK_CONTEXT, (&raw mut context).cast());
        api.set_option(ENCODER_OPTION_TRACE_CALLBACK, (&raw mut callback).cast());
    }
}

/// Notes in the `AtomicBool` behind `context` that the message about the processor came.
unsafe extern "C" fn note(context: *mut c_void, _level: c_int, message: *const c_char) {
    if context.is_null() || message.is_null() {
        return;
    }
    // SAFETY: openh264 passes a terminated string, and the context that `trace_to` set.
    let (message, seen) = unsafe { (CStr::from_ptr(message), &*context.cast::<AtomicBool>()) };
    const REPORT: &[u8] = b"WELS CPU features";
    if message.to_bytes().windows(REPORT.len()).any(|part| part == REPORT) {
        seen.store(true, Ordering::Relaxed);
    }
}
