//! The shipped units under systemd, in a virtual machine where the package is installed: `cargo xtask test` boots it. Nothing here is started
//! by hand but what systemctl starts.

#[cfg(test)]
mod confinement;
#[cfg(test)]
mod life;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod truth;
