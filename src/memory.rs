//! Giving memory back between the phases of an operation, so that their peaks do not add up.

/// Returns what was freed to the kernel. glibc keeps it otherwise, in an arena for each thread there ever was
/// (malloc_trim(3)); other allocators need no reminder.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "glibc offers this as a C function only")]
        // SAFETY: takes no pointer, and may be called at any time from any thread.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
