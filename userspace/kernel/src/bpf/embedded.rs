//! The eBPF object that is built into this program: parsed, sized, filled with offsets, relocated, loaded.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aioinspect_ebpf::{CAST_CALL, Offsets, Wire};
use aya_obj::btf::BtfFeatures;
use aya_obj::generated::bpf_insn;
use aya_obj::{EbpfSectionKind, Object};

use crate::bpf::call::{self, Code, MapShape};
use crate::bpf::error::ProbeError;
use crate::bpf::mapped::MappedArray;
use crate::bpf::ways::Ways;

/// An object as the build embedded it; empty in a build without the eBPF toolchain.
#[derive(Clone, Copy, Debug)]
pub struct Embedded(&'static [u8]);

/// The programs of the census.
pub const CENSUS: Embedded =
    Embedded(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aioinspect.bpf.o")));
/// The programs of the watch: apart, so that a census does not pay for them.
pub const TRACE: Embedded =
    Embedded(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aioinspect-trace.bpf.o")));
/// The programs that count io_submit: apart, since only who asks for them pays for them.
pub const SUBMIT: Embedded =
    Embedded(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aioinspect-submit.bpf.o")));

/// Whether this build carries the eBPF half.
pub fn is_embedded() -> bool {
    !CENSUS.0.is_empty()
}

/// The maps that userspace reads, and how many records each is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Mapped {
    /// The map's name in the object.
    pub name: &'static str,
    /// Bytes of a record.
    pub record_size: usize,
    /// Records.
    pub capacity: u32,
}

/// The loaded object: maps made, programs relocated and ready to be given to the kernel.
pub struct Prepared {
    /// The mapped arrays, by name.
    pub mapped: HashMap<&'static str, MappedArray>,
    /// The other maps, by name; closing them would not take them from the programs that are loaded.
    pub others: HashMap<String, OwnedFd>,
    /// Programs by name.
    pub programs: HashMap<String, Code>,
    /// The types of the object's own functions.
    pub btf: OwnedFd,
}

impl Prepared {
    /// A program by its name.
    pub fn code(&self, name: &str) -> Result<&Code, ProbeError> {
        self.programs.get(name).ok_or_else(|| ProbeError::Object(format!("no program {name}")))
    }

    /// Takes out one of the other maps.
    pub fn take_map(&mut self, name: &str) -> Result<OwnedFd, ProbeError> {
        self.others.remove(name).ok_or_else(|| ProbeError::Object(format!("no map {name}")))
    }

    /// Takes out one of the mapped arrays.
    pub fn take_array(&mut self, name: &str) -> Result<MappedArray, ProbeError> {
        self.mapped.remove(name).ok_or_else(|| ProbeError::Object(format!("no map {name}")))
    }
}

/// Makes the maps and relocates the programs.
///
/// `offsets` and `ways` are what the programs take for constants; `sizes` overrides the number of elements of maps that are not mapped.
pub fn prepare(
    embedded: Embedded,
    offsets: Offsets,
    ways: Ways,
    log_level: u8,
    mapped: &[Mapped],
    sizes: &[(&str, u32)],
) -> Result<Prepared, ProbeError> {
    if embedded.0.is_empty() {
        return Err(ProbeError::NotBuilt);
    }
    let mut object = Object::parse(embedded.0).map_err(|e| ProbeError::Object(e.to_string()))?;
    let mut offset_bytes = vec![0; Offsets::SIZE];
    ways.into_offsets(offsets)
        .write(&mut offset_bytes)
        .ok_or_else(|| ProbeError::Object("offsets do not fit".to_owned()))?;
    let globals = HashMap::from([
        ("OFFSETS", (offset_bytes.as_slice(), true)),
        (aya_log::LEVEL, (std::slice::from_ref(&log_level), false)),
    ]);
    object.patch_map_data(globals).map_err(|e| ProbeError::Object(e.to_string()))?;

    let btf = load_btf(&mut object)?;
    let mut arrays = HashMap::new();
    let mut others = HashMap::new();
    for (name, map) in &object.maps {
        if let Some(wanted) = mapped.iter().find(|wanted| wanted.name == name) {
            let array = MappedArray::create(name, wanted.record_size, wanted.capacity)
                .map_err(|e| ProbeError::from_bpf("create a map", &e))?;
            arrays.insert(wanted.name, array);
            continue;
        }
        let entries =
            sizes.iter().find(|(sized, _)| sized == name).map_or_else(|| map.max_entries(), |(_, n)| *n);
        others.insert(
            name.clone(),
            plain_map(name, map, entries).map_err(|e| ProbeError::from_bpf("create a map", &e))?,
        );
    }
    relocate(&mut object, &arrays, &others)?;
    let programs = object
        .programs
        .iter()
        .filter_map(|(name, program)| {
            let function = object.functions.get(&program.function_key())?;
            let mut instructions = function.instructions.clone();
            fill_in_casts(&mut instructions, ways);
            let code = Code {
                instructions,
                func_info: function.func_info.func_info_bytes(),
                func_info_rec_size: u32::try_from(function.func_info_rec_size).unwrap_or(0),
            };
            Some((name.clone(), code))
        })
        .collect();
    Ok(Prepared { mapped: arrays, others, programs, btf })
}

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`: what is called is a function of the kernel's, by BTF id.
const PSEUDO_KFUNC_CALL: u8 = 2;
/// `BPF_FUNC_ktime_get_ns`, which every program may call.
const KTIME_GET_NS: i32 = 5;

/// Puts the kernel's function where our programs call [`CAST_CALL`]; where it is not used such calls are never reached.
fn fill_in_casts(instructions: &mut [bpf_insn], ways: Ways) {
    for call in
        instructions.iter_mut().filter(|one| one.code == CALL && one.src_reg() == 0 && one.imm == CAST_CALL)
    {
        match ways.cast().and_then(|id| i32::try_from(id).ok()) {
            Some(id) => {
                call.set_src_reg(PSEUDO_KFUNC_CALL);
                call.imm = id;
            }
            None => call.imm = KTIME_GET_NS,
        }
    }
}

/// Gives the kernel our own types, in words that 5.10 knows: what was added since (float, tags, 64-bit enums) is put in other words.
fn load_btf(object: &mut Object) -> Result<OwnedFd, ProbeError> {
    let features = BtfFeatures::new(true, true, true, true, false, false, false, false);
    let btf = object
        .fixup_and_sanitize_btf(&features)
        .map_err(|e| ProbeError::Object(e.to_string()))?
        .ok_or_else(|| ProbeError::Object("it has no BTF".to_owned()))?;
    call::btf_load(&btf.to_bytes()).map_err(|e| ProbeError::from_bpf("load our own BTF", &e))
}

/// A map that only the programs use, or a section of globals.
fn plain_map(name: &str, map: &aya_obj::Map, entries: u32) -> io::Result<OwnedFd> {
    let shape = MapShape {
        kind: map.map_type(),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: entries,
        flags: map.map_flags(),
    };
    let fd = call::map_create(name, shape)?;
    if !map.data().is_empty() {
        call::map_write_first(fd.as_fd(), map.data(), map.value_size())?;
    }
    if map.section_kind() == EbpfSectionKind::Rodata {
        call::map_freeze(fd.as_fd())?;
    }
    Ok(fd)
}

fn relocate(
    object: &mut Object,
    arrays: &HashMap<&'static str, MappedArray>,
    others: &HashMap<String, OwnedFd>,
) -> Result<(), ProbeError> {
    let maps = object.maps.clone();
    let fds = maps.iter().filter_map(|(name, map)| {
        let fd = match arrays.get(name.as_str()) {
            Some(array) => array.fd().as_raw_fd(),
            None => others.get(name)?.as_raw_fd(),
        };
        Some((name.as_str(), fd, map))
    });
    let text_sections = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(fds, &text_sections).map_err(|e| ProbeError::Object(e.to_string()))?;
    object.relocate_calls(&text_sections).map_err(|e| ProbeError::Object(e.to_string()))
}
