//! The C library's allocator, kept small.

/// Most arenas of glibc's allocator. By default it makes eight for each core, and what a thread frees in one is no
/// use to another: memory grew by a tenth in ten minutes (docs/benchmarks.md).
#[cfg(target_env = "gnu")]
const MAX_ARENAS: i32 = 2;

/// Bounds the memory that the allocator keeps for itself. Called first in a program, before it starts threads.
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "there is no safe way to say it from within a program")
)]
pub fn bound() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes two numbers and no pointers; refused values change nothing.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, MAX_ARENAS);
    }
}
