//! Where the kernel that runs keeps what the programs read, and where its calls can be seen: from BTF.

pub mod hook_ids;
pub mod layout;
