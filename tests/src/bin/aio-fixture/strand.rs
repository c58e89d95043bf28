//! Credits that lie on another CPU than the one that wants them.
//!
//! fs/aio.c:get_reqs_available takes credits in batches for the CPU it runs on, put_reqs_available leaves up to two batches on the CPU
//! where requests complete. So a CPU that only submits runs dry while another has credits, which it cannot reach.

use aioinspect_tests::truth::StrandTruth;
use serde_json::{Value, json};

use crate::failure::{Done, Failure};
use crate::polls;
use crate::reap::reap;
use crate::state::State;
use crate::words::Words;

/// Polls of a round: each round is submitted on one CPU, completed on the other, and reaped.
const ROUND: u32 = 16;

/// `strand CTX FROM TO`: polls submitted on CPU FROM complete on CPU TO for a while; then FROM submits until it fails, and TO submits one.
///
/// Answers `in_flight` when FROM failed, `errno` of that, and `to_errno`: 0 if TO could still submit, which is one more in flight.
pub(crate) fn strand(state: &mut State, words: &mut Words) -> Done {
    let name = words.word("CTX")?.to_owned();
    let (from, to) = (words.number::<u32>("FROM")?, words.number::<u32>("TO")?);
    let at = state.position(&name)?;
    let context = state.contexts.get(at).ok_or_else(|| Failure::refused("no context"))?;
    if context.in_flight() > 0 || context.unreaped() > 0 {
        return Err(Failure::refused("the context is not idle"));
    }
    let (max_reqs, nr_events) = (context.max_reqs, context.nr_events);
    // A CPU keeps less than two batches, of which nr_events makes at least four to a CPU (fs/aio.c:ioctx_alloc).
    let count = ROUND.min(max_reqs);
    let rounds = nr_events.div_ceil(2 * count) + 1;
    for _ in 0..rounds {
        expect(&run(polls::poll, state, &format!("{name} {count} {from}"))?, "submitted", count)?;
        expect(&run(polls::complete, state, &format!("{name} {count} {to}"))?, "completed", count)?;
        expect(&run(reap, state, &format!("{name} {count}"))?, "reaped", count)?;
    }
    let filled = run(polls::poll, state, &format!("{name} {nr_events} {from}"))?;
    let in_flight = state.contexts.get(at).map(crate::context::Context::in_flight);
    let errno = filled.get("errno").cloned().unwrap_or(Value::Null);
    let to_errno = match run(polls::poll, state, &format!("{name} 1 {to}")) {
        Ok(_) => 0,
        Err(failure) => failure.errno(),
    };
    if let Some(context) = state.contexts.get_mut(at) {
        context.stranded = Some((StrandTruth { from, to }, context.in_flight(), context.completed));
    }
    Ok(json!({"in_flight": in_flight, "errno": errno, "to_errno": to_errno}))
}

fn run(command: fn(&mut State, &mut Words) -> Done, state: &mut State, line: &str) -> Done {
    command(state, &mut Words::new(line))
}

fn expect(answer: &Value, field: &str, count: u32) -> Result<(), Failure> {
    if answer.get(field).and_then(Value::as_u64) == Some(u64::from(count)) {
        return Ok(());
    }
    Err(Failure::refused(format!("not {count} {field}: {answer}")))
}
