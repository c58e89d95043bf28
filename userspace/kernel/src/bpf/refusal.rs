//! What the verifier's words say of the cause, as far as they are known to us (kernel/bpf/verifier.c).

/// Why a program was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It needs the JIT, which is off.
    NoJit,
    /// It calls a helper that this kernel lacks, or does not let such a program call: its name and number.
    Helper(String),
    /// Anything else: the line that says it, or nothing.
    Other(String),
}

/// Helpers that some kernels of ours lack, by number (include/uapi/linux/bpf.h): a kernel cannot name what it does not know.
const HELPERS: [(&str, &str); 4] = [
    ("158", "bpf_get_current_task_btf"),
    ("175", "bpf_task_pt_regs"),
    ("191", "bpf_copy_from_user_task"),
    ("195", "bpf_map_lookup_percpu_elem"),
];

impl Refusal {
    /// Reads the log of a refused program. Its last lines say what was wrong, and then how much was looked at.
    pub(crate) fn of(log: &str) -> Self {
        let counts =
            ["processed ", "verification time ", "stack depth ", "mark_precise", "-- BEGIN", "-- END"];
        let is_reason = |line: &&str| !line.is_empty() && !counts.iter().any(|count| line.starts_with(count));
        let reason = log.lines().map(str::trim).rfind(is_reason).unwrap_or_default();
        if ["non-JITed", "JIT does not support"].iter().any(|words| reason.contains(words)) {
            return Self::NoJit;
        }
        let helper = ["unknown func ", "invalid func ", "program of this type cannot use helper "];
        match helper.iter().find_map(|begins| reason.strip_prefix(begins)) {
            Some(named) => Self::Helper(by_name(named)),
            None => Self::Other(reason.to_owned()),
        }
    }
}

/// `bpf_task_pt_regs#175`, also where the kernel says `unknown#175`.
fn by_name(named: &str) -> String {
    let number = named.rsplit('#').next().unwrap_or_default();
    match HELPERS.iter().find(|(known, _)| *known == number) {
        Some((_, name)) if named.starts_with("unknown#") => format!("{name}#{number}"),
        Some(_) | None => named.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: &str =
        "processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";

    fn of(reason: &str) -> Refusal {
        Refusal::of(&format!("func#0 @0\n0: R1=ctx() R10=fp0\n5: (85) call x\n{reason}\n{COUNTS}"))
    }

    /// Check the words of 6.19 without JIT.
    #[test]
    fn jit() {
        assert_eq!(of("callbacks are not allowed in non-JITed programs"), Refusal::NoJit);
        assert_eq!(of("JIT does not support calling kernel function"), Refusal::NoJit);
    }

    /// Check the words of 5.10 and of 6.12 under lockdown for a helper that is not to be had.
    #[test]
    fn helpers() {
        let helper = |name: &str| Refusal::Helper(name.to_owned());
        assert_eq!(of("invalid func unknown#175"), helper("bpf_task_pt_regs#175"));
        assert_eq!(of("invalid func unknown#9999"), helper("unknown#9999"));
        assert_eq!(of("unknown func bpf_probe_read_kernel#113"), helper("bpf_probe_read_kernel#113"));
        assert_eq!(
            of("program of this type cannot use helper bpf_probe_read_kernel#113"),
            helper("bpf_probe_read_kernel#113")
        );
    }

    /// Check that of anything else the line that says it is given, and of nothing, nothing.
    #[test]
    fn others() {
        let too_large = "BPF program is too large. Processed 1000001 insn";
        assert_eq!(of(too_large), Refusal::Other(too_large.to_owned()));
        assert_eq!(
            Refusal::of("number of funcs in func_info doesn't match number of subprogs\n"),
            Refusal::Other("number of funcs in func_info doesn't match number of subprogs".to_owned())
        );
        assert_eq!(Refusal::of(""), Refusal::Other(String::new()));
        assert_eq!(Refusal::of(COUNTS), Refusal::Other(String::new()));
    }
}
