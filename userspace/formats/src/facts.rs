//! Numbers that may not be known, in a file: the number is 0 then, and its name stands in a list.

use aioinspect_proto::schema::evidence as file;

use aioinspect_model::known::Fact;

/// The fact's number in a file.
pub(crate) fn to_file(fact: Fact) -> file::Fact {
    match fact {
        Fact::MmapBase => file::Fact::MmapBase,
        Fact::MmapSize => file::Fact::MmapSize,
        Fact::NrPages => file::Fact::NrPages,
        Fact::MaxReqs => file::Fact::MaxReqs,
        Fact::NrEvents => file::Fact::NrEvents,
        Fact::Tail => file::Fact::Tail,
        Fact::CompletedEvents => file::Fact::CompletedEvents,
        Fact::ReqsAvailable => file::Fact::ReqsAvailable,
        Fact::PercpuAvailable => file::Fact::PercpuAvailable,
        Fact::RefState => file::Fact::RefState,
        Fact::PercpuRefs => file::Fact::PercpuRefs,
        Fact::AtomicRefs => file::Fact::AtomicRefs,
        Fact::Dead => file::Fact::Dead,
        Fact::Brk => file::Fact::Brk,
        Fact::Dumpable => file::Fact::Dumpable,
        Fact::LockSeq => file::Fact::LockSeq,
        Fact::MapCount => file::Fact::MapCount,
        Fact::Switches => file::Fact::Switches,
        Fact::Runtime => file::Fact::Runtime,
        Fact::OnCpu => file::Fact::OnCpu,
        Fact::State => file::Fact::State,
        Fact::StartBoottime => file::Fact::StartBoottime,
        Fact::Comm => file::Fact::Comm,
        Fact::LeaderStart => file::Fact::LeaderStart,
        Fact::ReqBatch => file::Fact::ReqBatch,
    }
}

/// The fact of that number; `None`: this version knows none.
pub(crate) fn from_file(value: i32) -> Option<Fact> {
    Fact::ALL.iter().copied().find(|fact| i32::from(to_file(*fact)) == value)
}

/// The numbers of one message while it is written.
#[derive(Default)]
pub(crate) struct Unknown(Vec<i32>);

impl Unknown {
    /// The number, or 0 if it is not known.
    pub(crate) fn or_zero<T: Default>(&mut self, fact: Fact, number: Option<T>) -> T {
        number.unwrap_or_else(|| {
            self.0.push(to_file(fact).into());
            T::default()
        })
    }

    /// The list that belongs to them.
    pub(crate) fn list(self) -> Vec<i32> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that each fact has a number of its own and comes back by it, and that no other number is one.
    #[test]
    fn numbers() {
        for (number, fact) in (1..).zip(Fact::ALL) {
            assert_eq!(i32::from(to_file(*fact)), number);
            assert_eq!(from_file(number), Some(*fact));
        }
        let past = i32::try_from(Fact::ALL.len()).unwrap() + 1;
        for number in [i32::MIN, -1, 0, past, i32::MAX] {
            assert_eq!(from_file(number), None);
        }
    }
}
