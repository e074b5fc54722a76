//! A list on the stack.

use core::fmt;
use core::mem::MaybeUninit;

/// At most `N` items. What is not used is never written: so many zeroes would be a call of
/// `memset`.
pub(crate) struct List<T, const N: usize> {
    items: [MaybeUninit<T>; N],
    count: usize,
}

impl<T: Copy, const N: usize> List<T, N> {
    pub(crate) fn new() -> Self {
        Self {
            items: [const { MaybeUninit::uninit() }; N],
            count: 0,
        }
    }

    /// Adds an item; `None` if there is no room for it.
    pub(crate) fn push(&mut self, item: T) -> Option<()> {
        self.items.get_mut(self.count)?.write(item);
        self.count += 1;
        Some(())
    }

    pub(crate) fn items(&self) -> &[T] {
        // SAFETY: so many items were written, and no more are counted than there is room.
        unsafe { core::slice::from_raw_parts(self.items.as_ptr().cast(), self.count) }
    }

    pub(crate) fn items_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and nobody else has them.
        unsafe { core::slice::from_raw_parts_mut(self.items.as_mut_ptr().cast(), self.count) }
    }
}

impl<T: Copy + fmt::Debug, const N: usize> fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.items()).finish()
    }
}
