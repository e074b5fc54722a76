//! Figures that a measurement is held to.

use std::sync::atomic::{AtomicBool, Ordering};

static IS_MISSED: AtomicBool = AtomicBool::new(false);

/// Says whether a figure is kept, and remembers it if it is not.
pub(super) fn hold(is_kept: bool, figure: &str) {
    let word = if is_kept { "kept" } else { "MISSED" };
    println!("\nFigure {word}: {figure}.");
    if !is_kept {
        IS_MISSED.store(true, Ordering::Relaxed);
    }
}

/// Whether one was missed.
pub(super) fn is_missed() -> bool {
    IS_MISSED.load(Ordering::Relaxed)
}
