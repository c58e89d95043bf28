//! Reaping: by io_getevents, and by writing `head` as libaio does.
#![expect(unsafe_code, reason = "the store of head")]

use std::time::Duration;

use serde_json::json;

use crate::aio::{self, IoEvent};
use crate::context::Context;
use crate::failure::{At, Done, Failure};
use crate::memory;
use crate::state::State;
use crate::words::Words;

const ENTRY: u64 = 32;

/// `reap CTX COUNT`: at most COUNT events by io_getevents, without waiting.
pub(crate) fn reap(state: &mut State, words: &mut Words) -> Done {
    let at = state.position(words.word("CTX")?)?;
    let count = words.number::<usize>("COUNT")?;
    let State { contexts, reads, .. } = state;
    let context = contexts.get_mut(at).ok_or_else(|| Failure::refused("no context"))?;
    honest(context)?;
    let mut events = vec![IoEvent::default(); count];
    let mut n = 0;
    while let Some(room) = events.get_mut(n..).filter(|room| !room.is_empty()) {
        match aio::io_getevents(context.id, 0, room, Some(Duration::ZERO)).at("io_getevents")? {
            0 => break,
            more => n += more,
        }
    }
    events.truncate(n);
    context.reaped += u64::try_from(n).unwrap_or(0);
    let bad = events.iter().filter(|event| !reads.reaped(event)).count();
    Ok(json!({"reaped": n, "bad": bad}))
}

/// `reap-by-head CTX COUNT`: reads COUNT events out of the ring and moves `head`, without a system call.
pub(crate) fn reap_by_head(state: &mut State, words: &mut Words) -> Done {
    let at = state.position(words.word("CTX")?)?;
    let count = words.number::<u32>("COUNT")?;
    let State { contexts, reads, .. } = state;
    let context = contexts.get_mut(at).ok_or_else(|| Failure::refused("no context"))?;
    honest(context)?;
    if count > context.unreaped() {
        return Err(Failure::refused(format!("only {} events are unreaped", context.unreaped())));
    }
    if !context.header_writable() {
        return Err(Failure::refused("the header is not mapped writable"));
    }
    let mut bad = 0;
    for _ in 0..count {
        let address = context.id + ENTRY * (u64::from(context.head()) + 1);
        if let Some(event) = event_at(address)
            && !reads.reaped(&event)
        {
            bad += 1;
        }
        context.reaped += 1;
    }
    // SAFETY: page 0 is mapped writable, and a ring holds no Rust object.
    unsafe { memory::store_u32(context.id + 8, context.head()) };
    Ok(json!({"reaped": count, "bad": bad}))
}

fn honest(context: &Context) -> Result<(), Failure> {
    if context.is_forged("head") || context.is_forged("tail") {
        return Err(Failure::refused("head or tail is forged: unforge first"));
    }
    if context.moving || context.waited {
        return Err(Failure::refused("a thread reaps this context"));
    }
    Ok(())
}

fn event_at(address: u64) -> Option<IoEvent> {
    let mut bytes = [0_u8; 32];
    memory::read_self(address, &mut bytes).ok()?;
    let (words, _) = bytes.as_chunks::<8>();
    let [data, obj, res, res2] = <[[u8; 8]; 4]>::try_from(words).ok()?;
    Some(IoEvent {
        data: u64::from_ne_bytes(data),
        obj: u64::from_ne_bytes(obj),
        res: i64::from_ne_bytes(res),
        res2: i64::from_ne_bytes(res2),
    })
}
