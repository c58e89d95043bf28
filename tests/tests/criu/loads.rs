//! Programs at work that nobody here wrote, checkpointed and restored again and again while they go on. How often is in
//! `AIOINSPECT_CRIU_ROUNDS`; by default few times.

mod container;
mod fio;
mod mariadb;
mod rounds;
mod tree;

/// Whether all these programs are installed; if not, it is said that the test is skipped, and why.
fn has(test: &str, programs: &[(&str, &str)]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let Some((program, package)) = programs.iter().find(|(program, _)| !is_there(program)) else {
        return true;
    };
    aioinspect_tests::programs::skip(test, &format!("there is no {program} (package {package})"));
    false
}
