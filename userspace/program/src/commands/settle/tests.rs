//! Who is frozen, who is waited for, and with which exit code it ends, where a kernel does not tell everything.

use crate::commands::settle::*;
use aioinspect_model::evidence::Manner;
use aioinspect_model::known::Fact;
use aioinspect_model::specimen::{AT, evidence, idle, kioctx, look, lose, word};

/// One process that sleeps, on a kernel that lacks some facts; counts the freezes.
struct Process {
    lost: Vec<Fact>,
    freezes: u32,
    looks: u32,
}

impl Source for Process {
    fn host(&mut self, _owners: bool) -> Result<Evidence, SourceError> {
        Ok(idle())
    }

    fn process(&mut self, ask: &Ask) -> Result<Evidence, SourceError> {
        self.looks += 1;
        let mut evidence = match ask.hold {
            Hold::NoTouch | Hold::DrainHeld(_) => {
                let mut look = look(Manner::Running, &[kioctx(AT, 0)]);
                look.after = Some(word(vec![kioctx(AT, 0)], 1040));
                evidence(vec![look])
            }
            Hold::Ptrace(_) | Hold::Drain { .. } => {
                self.freezes += 1;
                idle()
            }
        };
        lose(&mut evidence, &self.lost);
        Ok(evidence)
    }

    fn group(&mut self, _group: &Group, ask: &Ask) -> Result<Evidence, SourceError> {
        self.process(ask)
    }

    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// The exit code, how often it was frozen, and how often it was looked at.
fn settled(lost: &[Fact], change: impl FnOnce(&mut Want)) -> (Exit, u32, u32) {
    let mut source = Process { lost: lost.to_vec(), freezes: 0, looks: 0 };
    let mut want = Want {
        whom: Whom::Process(Pid(100)),
        freeze: Freeze::Ptrace,
        freeze_idle: true,
        freeze_timeout: Duration::from_secs(1),
        drain: None,
        is_held: false,
        wait: None,
        image: true,
        policy: Policy { image: true, ..Policy::default() },
        strict: false,
    };
    change(&mut want);
    let settled = settle(&mut source, &want).unwrap();
    (settled.exit(), source.freezes, source.looks)
}

/// Check that a dump freezes what it cannot see to have slept, and that a check which may not says so.
#[test]
fn without_the_scheduler() {
    for fact in [Fact::Switches, Fact::Runtime, Fact::OnCpu, Fact::State] {
        assert_eq!(settled(&[fact], |_| {}), (Exit::Fine, 1, 2), "{fact:?}");
        assert_eq!(settled(&[fact], |want| want.freeze = Freeze::None), (Exit::CheckFailed, 0, 1));
        assert_eq!(settled(&[fact], |want| want.freeze_idle = false), (Exit::Fine, 1, 2), "check --freeze");
    }
}

/// Check that what no freeze mends freezes nobody, and that nobody waits for what no wait mends.
#[test]
fn in_vain() {
    for fact in [Fact::Tail, Fact::NrEvents, Fact::Brk, Fact::Dumpable] {
        let wait = |want: &mut Want| want.wait = Some(Duration::from_secs(600));
        assert_eq!(settled(&[fact], wait), (Exit::Lacks, 0, 1), "{fact:?}");
        // Nor with the scheduler's word missing too.
        assert_eq!(settled(&[fact, Fact::OnCpu], |_| {}), (Exit::CheckFailed, 0, 1), "{fact:?}");
    }
}

/// Check that who accepts what is not proven is frozen all the same: the rest is proven then.
#[test]
fn unverified() {
    let unverified = |want: &mut Want| want.policy.unverified = true;
    assert_eq!(settled(&[Fact::Tail], unverified), (Exit::Fine, 1, 2));
    assert_eq!(settled(&[Fact::MmapSize, Fact::NrPages], unverified), (Exit::Lacks, 0, 1));
}
