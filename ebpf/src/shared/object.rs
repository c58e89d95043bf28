//! What every object must have.

/// The object is Dual MIT/GPL: probe_read_kernel and friends are GPL-only helpers.
// SAFETY: the name of the section is the loader's, the name of the symbol nobody else's.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
