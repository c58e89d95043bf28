//! Which of a look's words of the kernel is judged.

use crate::evidence::{KernelWord, Look};

/// The kernel's word that is judged: the later one, because completions may arrive even in a frozen process.
pub fn judged_word(look: &Look) -> Option<&KernelWord> {
    look.after.as_ref().or(look.before.as_ref())
}
