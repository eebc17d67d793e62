//! Memory that will be asked for soon. It must not change what comes out, only how long it takes.

/// What a processor fetches at a time, in bytes, nearly everywhere.
const LINE: usize = 64;

/// Has the processor fetch what lies here, while it goes on.
///
/// A simulation knows which backends it looks at next. Between two looks at one of thousands, what
/// belongs to it has left the caches, and without this the processor waits for each line in turn.
#[inline]
pub fn prefetch<T>(place: &T) {
    let start = std::ptr::from_ref(place).cast::<u8>();
    for offset in (0..size_of::<T>()).step_by(LINE) {
        prefetch_line(start.wrapping_add(offset));
    }
    // What is aligned to less than its size, or a line, may end on one line more.
    if size_of::<T>() > align_of::<T>() && align_of::<T>() < LINE {
        prefetch_line(start.wrapping_add(size_of::<T>() - 1));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)] // a hint, which reads nothing: an address that cannot be read is ignored
fn prefetch_line(place: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn prefetch_line(_place: *const u8) {}
