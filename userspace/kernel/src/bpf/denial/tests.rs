use crate::bpf::denial::*;

/// A process and a kernel with nothing that would explain a refusal, to which one thing after the other is added.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "an answer for each question")]
struct Told {
    missing: Vec<Capability>,
    in_user_namespace: bool,
    bpf_is_forbidden: bool,
    has_seccomp_filter: bool,
    lockdown: Lockdown,
    memlock: Option<u64>,
    memlock_is_charged: bool,
}

const NOTHING: Told = Told {
    missing: Vec::new(),
    in_user_namespace: false,
    bpf_is_forbidden: false,
    has_seccomp_filter: false,
    lockdown: Lockdown::Integrity,
    memlock: None,
    memlock_is_charged: false,
};

impl Witness for Told {
    fn missing(&self) -> Vec<Capability> {
        self.missing.clone()
    }

    fn in_user_namespace(&self) -> bool {
        self.in_user_namespace
    }

    fn bpf_is_forbidden(&self) -> bool {
        self.bpf_is_forbidden
    }

    fn has_seccomp_filter(&self) -> bool {
        self.has_seccomp_filter
    }

    fn lockdown(&self) -> Lockdown {
        self.lockdown
    }

    fn memlock_limit(&self) -> Option<u64> {
        self.memlock
    }

    fn memlock_is_charged(&self) -> bool {
        self.memlock_is_charged
    }
}

/// Check that each cause is found alone, and that what would be refused first comes first.
#[test]
fn causes() {
    let mut told = NOTHING;
    assert_eq!(Denial::by(&told), Denial::Other);
    // A finite limit to which nothing is charged explains nothing, nor does a filter that lets bpf(2) pass.
    told.memlock = Some(65_536);
    told.has_seccomp_filter = true;
    assert_eq!(Denial::by(&told), Denial::Other);
    told.lockdown = Lockdown::Confidentiality;
    assert_eq!(Denial::by(&told), Denial::Lockdown);
    told.memlock_is_charged = true;
    assert_eq!(Denial::by(&told), Denial::Memlock(65_536));
    assert_eq!(Denial::by(&Told { memlock: None, ..told.clone() }), Denial::Lockdown);
    told.bpf_is_forbidden = true;
    assert_eq!(Denial::by(&told), Denial::Seccomp);
    assert_eq!(Denial::by(&Told { has_seccomp_filter: false, ..told.clone() }), Denial::SecurityModule);
    told.in_user_namespace = true;
    assert_eq!(Denial::by(&told), Denial::UserNamespace);
    told.missing = vec![Capability::Perfmon];
    assert_eq!(Denial::by(&told), Denial::Missing(vec![Capability::Perfmon]));
}

/// Check what is said of missing capabilities: which, and which are needed.
#[test]
fn capabilities_are_named() {
    let says = |missing: &[Capability]| Denial::Missing(missing.to_vec()).to_string();
    assert_eq!(says(&NEEDED), "CAP_BPF and CAP_PERFMON are missing");
    assert_eq!(says(&[Capability::Bpf]), "CAP_BPF is missing (CAP_BPF and CAP_PERFMON are needed)");
    assert_eq!(says(&[Capability::Perfmon]), "CAP_PERFMON is missing (CAP_BPF and CAP_PERFMON are needed)");
}

/// Check that whatever is said is one line, in lower case and without a full stop, and that nobody who may be root is told to become root.
#[test]
fn how_it_reads() {
    let all = [
        Denial::UserNamespace,
        Denial::Seccomp,
        Denial::SecurityModule,
        Denial::Lockdown,
        Denial::MaybeLockdown,
        Denial::Memlock(65_536),
        Denial::Other,
    ];
    for denial in all {
        let text = format!("{denial} {}", denial.fix().unwrap_or_default());
        assert!(!text.contains('\n') && !text.trim_end().ends_with('.'), "{text}");
        assert!(!text.contains("as root") && !text.contains("sudo"), "{text}");
    }
}
