//! The eBPF object that is built into this program: parsed, sized, filled with offsets, relocated, loaded.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aioinspect_ebpf::{CAST_CALL, Offsets, Wire};
use aya_obj::btf::BtfFeatures;
use aya_obj::generated::bpf_func_id::BPF_FUNC_ktime_get_ns;
use aya_obj::generated::{BPF_CALL, BPF_F_NO_PREALLOC, BPF_JMP, BPF_PSEUDO_KFUNC_CALL, bpf_insn};
use aya_obj::{EbpfSectionKind, Object};

use crate::bpf::call::{self, Code, MapShape};
use crate::bpf::error::ProbeError;
use crate::bpf::ways::Ways;

/// An object as the build embedded it; empty in a build without the eBPF toolchain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Embedded(&'static [u8]);

/// The programs of the census.
pub(crate) const CENSUS: Embedded =
    Embedded(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aioinspect.bpf.o")));
/// The programs of the watch: apart, so that a census does not pay for them.
pub(crate) const TRACE: Embedded =
    Embedded(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aioinspect-trace.bpf.o")));
/// The programs that count io_submit: apart, since only who asks for them pays for them.
pub(crate) const SUBMIT: Embedded =
    Embedded(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/aioinspect-submit.bpf.o")));

/// Whether this build carries the eBPF half.
pub fn is_embedded() -> bool {
    !CENSUS.0.is_empty()
}

/// The loaded object: maps made, programs relocated and ready to be given to the kernel.
pub(crate) struct Prepared {
    /// The maps, by name; closing them would not take them from the programs that are loaded.
    maps: HashMap<String, OwnedFd>,
    programs: HashMap<String, Code>,
    /// The types of the object's own functions.
    pub(crate) btf: OwnedFd,
}

impl Prepared {
    /// A program by its name.
    pub(crate) fn code(&self, name: &str) -> Result<&Code, ProbeError> {
        self.programs.get(name).ok_or_else(|| ProbeError::Object(format!("no program {name}")))
    }

    /// Takes out a map and opens it as what it is to be.
    pub(crate) fn take<T>(
        &mut self,
        name: &str,
        open: impl FnOnce(OwnedFd) -> io::Result<T>,
    ) -> Result<T, ProbeError> {
        let map = self.maps.remove(name).ok_or_else(|| ProbeError::Object(format!("no map {name}")))?;
        open(map).map_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                return ProbeError::Object(format!("map {name}: {error}"));
            }
            ProbeError::from_bpf("open a map", &error)
        })
    }

    /// What is left: the maps that only the programs use, and the types.
    pub(crate) fn into_rest(self) -> (HashMap<String, OwnedFd>, OwnedFd) {
        (self.maps, self.btf)
    }
}

/// Makes the maps and relocates the programs.
///
/// `offsets` and `ways` are what the programs take for constants; `sizes` overrides the number of elements of maps.
pub(crate) fn prepare(
    embedded: Embedded,
    offsets: &Offsets,
    ways: Ways,
    log_level: u8,
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
    let mut maps = HashMap::new();
    for (name, map) in &object.maps {
        let wanted = sizes.iter().find(|(sized, _)| sized == name);
        let entries = wanted.map_or_else(|| map.max_entries(), |(_, entries)| *entries);
        let map = make_map(name, map, entries, ways).map_err(|e| ProbeError::from_bpf("create a map", &e))?;
        maps.insert(name.clone(), map);
    }
    relocate(&mut object, &maps)?;
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
    Ok(Prepared { maps, programs, btf })
}

/// Whose call it is that has this for its source register: a function of the kernel's, by BTF id.
const KFUNC: u8 = BPF_PSEUDO_KFUNC_CALL.to_le_bytes()[0];

/// Puts the kernel's function where our programs call [`CAST_CALL`]; where it is not used such calls are never reached.
fn fill_in_casts(instructions: &mut [bpf_insn], ways: Ways) {
    let is_cast = |one: &bpf_insn| {
        u32::from(one.code) == BPF_JMP | BPF_CALL && one.src_reg() == 0 && one.imm == CAST_CALL
    };
    for call in instructions.iter_mut().filter(|one| is_cast(one)) {
        match ways.cast().and_then(|id| i32::try_from(id).ok()) {
            Some(id) => {
                call.set_src_reg(KFUNC);
                call.imm = id;
            }
            // Every program may call this one.
            None => call.imm = BPF_FUNC_ktime_get_ns as i32,
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

/// Makes a map, or a section of globals.
fn make_map(name: &str, map: &aya_obj::Map, entries: u32, ways: Ways) -> io::Result<OwnedFd> {
    let takes_all = if ways.maps_may_grow() { 0 } else { BPF_F_NO_PREALLOC };
    let shape = MapShape {
        kind: map.map_type(),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: entries,
        flags: map.map_flags() & !takes_all,
    };
    let fd = match map.data() {
        [] => call::map_create(name, shape)?,
        data => call::map_create_with(name, shape, data)?,
    };
    if map.section_kind() == EbpfSectionKind::Rodata {
        call::map_freeze(fd.as_fd())?;
    }
    Ok(fd)
}

fn relocate(object: &mut Object, made: &HashMap<String, OwnedFd>) -> Result<(), ProbeError> {
    let maps = object.maps.clone();
    let fds = maps.iter().filter_map(|(name, map)| Some((name.as_str(), made.get(name)?.as_raw_fd(), map)));
    let text_sections = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(fds, &text_sections).map_err(|e| ProbeError::Object(e.to_string()))?;
    object.relocate_calls(&text_sections).map_err(|e| ProbeError::Object(e.to_string()))
}
