//! The maps against a stand-in kernel; `cargo xtask test` runs these under Miri.

use std::collections::BTreeSet;

use aioinspect_ebpf::{
    Counters, CreditsRecord, SpaceKey, SubmitErrorKey, SubmitErrors, TracedKey, TracedRecord,
};
use aya_obj::generated::BPF_F_MMAPABLE;
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;

use crate::bpf::call::{MapShape, map_create, map_create_with};
use crate::bpf::map::*;
use crate::bpf::mapped::MappedArray;
use crate::bpf::stand_in::StandIn;

fn key(mm: u64) -> TracedKey {
    TracedKey { mm, table_index: 7, _pad: 0 }
}

fn array(value_size: u32, max_entries: u32, flags: u32) -> MapShape {
    MapShape { kind: BPF_MAP_TYPE_ARRAY as u32, key_size: 4, value_size, max_entries, flags }
}

/// Check that a value is found by its key, taken out once, and that a key without one is no error.
#[test]
fn one_by_one() {
    let _kernel = StandIn::start();
    let map = map_create("traced", MapShape::hash::<TracedKey, TracedRecord>(8)).unwrap();
    let record =
        TracedRecord { kioctx: 0x1234, max_reqs: 128, comm_high: u64::MAX, ..TracedRecord::default() };
    StandIn::put(&map, &key(1), &record);
    let map = HashMap::<TracedKey, TracedRecord>::open(map).unwrap();
    assert_eq!(map.get(&key(1)).unwrap(), Some(record));
    assert_eq!(map.get(&key(2)).unwrap(), None);
    map.delete(&key(2)).unwrap();
    map.delete(&key(1)).unwrap();
    assert_eq!(map.get(&key(1)).unwrap(), None);
}

/// Check that every element is given once, however few are asked for at a time: also where one bucket holds more.
#[test]
fn all_of_them() {
    let _kernel = StandIn::start();
    let map = map_create("errors", MapShape::hash::<SubmitErrorKey, SubmitErrors>(64)).unwrap();
    let key = |tgid: u32| SubmitErrorKey { start_boottime: 9, tgid, errno: 11, call: 0 };
    for tgid in 0..24 {
        StandIn::put(&map, &key(tgid), &SubmitErrors { count: tgid.into(), ..SubmitErrors::default() });
    }
    let map = HashMap::<SubmitErrorKey, SubmitErrors>::open(map).unwrap();
    for room in [1, 2, 5, 6, 7, 23, 24, BATCH] {
        let found = map.all_by(room).unwrap();
        assert!(found.iter().all(|(key, errors)| u64::from(key.tgid) == errors.count && key.errno == 11));
        let processes: BTreeSet<u32> = found.iter().map(|(key, _)| key.tgid).collect();
        assert_eq!((found.len(), processes), (24, (0..24).collect()), "{room}");
    }
    for tgid in 0..24 {
        map.delete(&key(tgid)).unwrap();
    }
    assert_eq!(map.all().unwrap(), []);
}

/// Check that a map of another type, or of other keys or values, is not opened: no buffer is ever of another size than the kernel's.
#[test]
fn others_are_refused() {
    let _kernel = StandIn::start();
    let made = |shape| map_create("made", shape).unwrap();
    let traced = || made(MapShape::hash::<TracedKey, TracedRecord>(1));
    assert!(HashMap::<TracedKey, TracedRecord>::open(traced()).is_ok());
    let error = HashMap::<SpaceKey, TracedRecord>::open(traced()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("keys of 16"), "{error}");
    assert!(HashMap::<TracedKey, SubmitErrors>::open(traced()).is_err());
    assert!(PerCpuValue::<TracedRecord>::open(traced()).is_err());
    assert!(MappedArray::<TracedRecord>::open(traced()).is_err());
    // Not mappable.
    assert!(MappedArray::<CreditsRecord>::open(made(array(8, 1, 0))).is_err());
    assert!(PerCpuValue::<CreditsRecord>::open(made(array(8, 1, BPF_F_MMAPABLE))).is_err());
    assert!(map_create_with("rodata", array(8, 1, 0), &[0; 7]).is_err());
    assert!(map_create_with("rodata", array(8, 1, 0), &[1; 8]).is_ok());
}

/// Check that the value of each possible CPU is read.
#[test]
fn of_each_cpu() {
    let _kernel = StandIn::start();
    let kind = BPF_MAP_TYPE_PERCPU_ARRAY as u32;
    let size = u32::try_from(Counters::SIZE).unwrap();
    let map = map_create("counters", MapShape { kind, ..array(size, 1, 0) }).unwrap();
    let cpus = system::possible_cpus().unwrap() as usize;
    for cpu in 0..cpus {
        StandIn::set(&map, cpu, &Counters { events: cpu as u64, ends: 5, ..Counters::default() });
    }
    let map = PerCpuValue::<Counters>::open(map).unwrap();
    let events: Vec<u64> = map.of_each_cpu().unwrap().iter().map(|counters| counters.events).collect();
    assert_eq!(events, (0..cpus as u64).collect::<Vec<_>>());
}

/// Check that a mapped array gives what a program wrote there, no more records than there are, and takes an order.
#[test]
fn mapped() {
    let _kernel = StandIn::start();
    let map = map_create("credits", array(8, 5, BPF_F_MMAPABLE)).unwrap();
    let of = |cpu| CreditsRecord { cpu, credits: cpu * 10 };
    for cpu in 0..5 {
        StandIn::set(&map, cpu as usize, &of(cpu));
    }
    let mut array = MappedArray::<CreditsRecord>::open(map).unwrap();
    assert_eq!(array.first(), of(0));
    let mut records = vec![of(99)];
    array.read_into(2, &mut records);
    array.read_into(u32::MAX, &mut records);
    assert_eq!(records, [99, 0, 1, 0, 1, 2, 3, 4].map(of));
    array.set_first(&of(3));
    assert_eq!(array.first(), of(3));
}
