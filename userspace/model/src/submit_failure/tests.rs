//! Tests of `submit_failure.rs`.

use proptest::prelude::*;

use super::*;
use crate::reconcile::reconcile;
use crate::specimen;

fn picture() -> (Picture, Pid, ContextId) {
    let picture = reconcile(&specimen::idle());
    let context = &picture.contexts[0];
    let (pid, id) = (context.pid, context.context);
    (picture, pid, id)
}

fn with(finding: Finding) -> (Picture, Pid, ContextId) {
    let (mut picture, pid, id) = picture();
    picture.contexts[0].findings = vec![finding];
    (picture, pid, id)
}

fn asked(context: ContextId, second: i64, third: i64) -> Arguments {
    Arguments { context, second, third }
}

/// Check which EAGAIN it was: full, stranded, or over by now; of another process, and without a picture.
#[test]
fn eagain() {
    let cause = |(picture, pid, id): &(Picture, Pid, ContextId), of: Pid| {
        assert!(of == *pid || of == Pid(4_000_000));
        Cause::of(Call::Submit, EAGAIN, &asked(*id, 1, 0), (of, Caller::Same), Some(picture)).word()
    };
    let full = with(Finding::RingFull);
    assert_eq!(cause(&full, full.1), "ring-full");
    assert_eq!(cause(&full, Pid(4_000_000)), "no-credits");
    let stranded = with(Finding::StrandedCredits);
    assert_eq!(cause(&stranded, stranded.1), "stranded-credits");
    let idle = picture();
    assert_eq!(cause(&idle, idle.1), "no-credits");
    let unseen = Cause::of(Call::Submit, EAGAIN, &asked(idle.2, 1, 0), (idle.1, Caller::Same), None);
    assert_eq!(unseen, Cause::NoCredits);
    let full = SubmitFailure {
        cause: Cause::of(Call::Submit, EAGAIN, &asked(full.2, 1, 0), (full.1, Caller::Same), Some(&full.0)),
        arguments: asked(full.2, 1, 0),
        errno: EAGAIN,
        ..SubmitFailure::default()
    };
    let said = in_words(&full);
    assert!(said.contains(&format!("context {}", full.arguments.context)), "{said}");
    assert!(said.contains("no ring entry is free"), "{said}");
}

/// Check which EINVAL it was: the numbers, a context that is not there, one that is not found, or the request.
#[test]
fn einval() {
    let (idle, pid, id) = picture();
    let of = |call, arguments: Arguments| {
        Cause::of(call, EINVAL, &arguments, (pid, Caller::Same), Some(&idle)).word()
    };
    assert_eq!(of(Call::Submit, asked(id, -1, 0)), "bad-number");
    assert_eq!(of(Call::Submit, asked(id, 1, 0)), "bad-request");
    assert_eq!(of(Call::Submit, asked(ContextId(0x10), 1, 0)), "no-context");
    for call in [Call::Getevents, Call::Pgetevents] {
        assert_eq!(of(call, asked(id, 2, 1)), "bad-number");
        assert_eq!(of(call, asked(id, -1, 1)), "bad-number");
        assert_eq!(of(call, asked(ContextId(0x10), 1, 1)), "no-context");
        assert_eq!(of(call, asked(id, 1, 1)), "unknown");
    }
    assert_eq!(Cause::of(Call::Submit, EINVAL, &asked(id, 1, 0), (pid, Caller::Same), None), Cause::Unknown);
    for finding in [Finding::UnmappedRing, Finding::ForgedHeader] {
        let (lost, pid, id) = with(finding);
        let cause = Cause::of(Call::Getevents, EINVAL, &asked(id, 1, 1), (pid, Caller::Same), Some(&lost));
        assert!(matches!(&cause, Cause::LostContext(words) if words.contains(finding.says())), "{cause:?}");
    }
}

/// Check that of a process that has ended, or became another program, nobody says that it had no context; and that none has the id 0.
#[test]
fn ended() {
    let (idle, pid, _) = picture();
    let gone = Pid(4_000_000);
    let table = [
        (pid, Caller::Same, "no-context"),
        (gone, Caller::Same, "no-context"),
        (gone, Caller::Other, "unknown"),
        // Its number is that of another process, or of another program.
        (pid, Caller::Other, "unknown"),
        (gone, Caller::Unseen, "unknown"),
        (pid, Caller::Unseen, "no-context"),
    ];
    for (pid, caller, word) in table {
        let of = |id, picture| {
            Cause::of(Call::Submit, EINVAL, &asked(ContextId(id), 1, 0), (pid, caller), picture).word()
        };
        assert_eq!(of(0x10, Some(&idle)), word, "{pid} {caller:?}");
        assert_eq!((of(0x10, None), of(0, None)), ("unknown", "no-context"), "{pid} {caller:?}");
    }
}

/// Check the errors that need no picture, and that only the others ask for one.
#[test]
fn others() {
    let table = [
        (EBADF, "bad-file"),
        (EFAULT, "bad-memory"),
        (EPERM, "refused"),
        (EACCES, "refused"),
        (ENOSYS, "refused"),
        (EOPNOTSUPP, "unsupported"),
        (28, "unknown"),
        (516, "unknown"),
    ];
    for call in [Call::Submit, Call::Getevents, Call::Pgetevents] {
        for (errno, word) in table {
            assert_eq!(
                Cause::of(call, errno, &Arguments::default(), (Pid(1), Caller::Same), None).word(),
                word
            );
            assert!(!Cause::asks_for_picture(call, errno));
        }
        assert!(Cause::asks_for_picture(call, EINVAL));
        assert_eq!(Cause::asks_for_picture(call, EAGAIN), call == Call::Submit);
    }
}

proptest! {
    /// Check that every failure has a reason of one line, whatever its numbers.
    #[test]
    fn any_failure(
        call in prop_oneof![Just(Call::Submit), Just(Call::Getevents), Just(Call::Pgetevents)],
        errno in prop_oneof![0..40_i32, any::<i32>()],
        id: u64, second: i64, third: i64, count: u64, known: bool,
    ) {
        let (picture, pid, there) = picture();
        let arguments = asked(if known { there } else { ContextId(id) }, second, third);
        for picture in [Some(&picture), None] {
            let cause = Cause::of(call, errno, &arguments, (pid, Caller::Same), picture);
            let text = in_words(&SubmitFailure { call, errno, count, arguments, cause });
            prop_assert!(text.len() > 10 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", text);
        }
    }
}
