//! An mm image as `crit decode --pretty` prints it: names, order, hexadecimal, flags.

use serde_json::{Map, Value, json};

use crate::schema::criu::{AioRingEntry, MmEntry, VmaEntry};

/// The whole image: `{"magic": "MM", "entries": [..]}`.
pub fn image_json(entry: &MmEntry) -> Value {
    json!({ "magic": "MM", "entries": [entry_json(entry)] })
}

/// The one entry of an mm image. As in crit, an empty list and an absent optional field are left out.
pub fn entry_json(entry: &MmEntry) -> Value {
    let mut object = Map::new();
    for (name, address) in layout(entry) {
        put(&mut object, name, hex(address));
    }
    put(&mut object, "exe_file_id", entry.exe_file_id);
    if !entry.mm_saved_auxv.is_empty() {
        put(&mut object, "mm_saved_auxv", entry.mm_saved_auxv.clone());
    }
    if !entry.vmas.is_empty() {
        put(&mut object, "vmas", entry.vmas.iter().map(vma_json).collect::<Vec<_>>());
    }
    if let Some(dumpable) = entry.dumpable {
        put(&mut object, "dumpable", dumpable);
    }
    if !entry.aios.is_empty() {
        put(&mut object, "aios", entry.aios.iter().map(aio_json).collect::<Vec<_>>());
    }
    if let Some(thp_disabled) = entry.thp_disabled {
        put(&mut object, "thp_disabled", thp_disabled);
    }
    Value::Object(object)
}

/// The addresses of an entry by name, in the order of their field numbers.
pub fn layout(entry: &MmEntry) -> [(&'static str, u64); 11] {
    [
        ("mm_start_code", entry.mm_start_code),
        ("mm_end_code", entry.mm_end_code),
        ("mm_start_data", entry.mm_start_data),
        ("mm_end_data", entry.mm_end_data),
        ("mm_start_stack", entry.mm_start_stack),
        ("mm_start_brk", entry.mm_start_brk),
        ("mm_brk", entry.mm_brk),
        ("mm_arg_start", entry.mm_arg_start),
        ("mm_arg_end", entry.mm_arg_end),
        ("mm_env_start", entry.mm_env_start),
        ("mm_env_end", entry.mm_env_end),
    ]
}

/// `prot` of a mapping, such as `PROT_READ | PROT_WRITE`.
pub fn prot_text(prot: u32) -> String {
    flags_text(prot, &PROT)
}

/// `flags` of a mapping, such as `MAP_PRIVATE | MAP_ANON`.
pub fn map_text(flags: u32) -> String {
    flags_text(flags, &MAP)
}

/// `status` of a mapping, such as `VMA_AREA_REGULAR | VMA_FILE_PRIVATE`.
pub fn status_text(status: u32) -> String {
    flags_text(status, &STATUS)
}

fn vma_json(vma: &VmaEntry) -> Value {
    let mut object = Map::new();
    put(&mut object, "start", hex(vma.start));
    put(&mut object, "end", hex(vma.end));
    put(&mut object, "pgoff", vma.pgoff);
    put(&mut object, "shmid", vma.shmid);
    put(&mut object, "prot", prot_text(vma.prot));
    put(&mut object, "flags", map_text(vma.flags));
    put(&mut object, "status", status_text(vma.status));
    put(&mut object, "fd", vma.fd);
    if let Some(madv) = vma.madv {
        put(&mut object, "madv", hex(madv));
    }
    if let Some(fdflags) = vma.fdflags {
        put(&mut object, "fdflags", hex(u64::from(fdflags)));
    }
    Value::Object(object)
}

fn aio_json(aio: &AioRingEntry) -> Value {
    json!({ "id": aio.id, "nr_req": aio.nr_req, "ring_len": aio.ring_len })
}

fn put(object: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    object.insert(name.to_owned(), value.into());
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}

/// Known bits by name in the table's order, the rest as one hexadecimal number, nothing for 0.
fn flags_text(value: u32, table: &[(u32, &str)]) -> String {
    let known: u32 = table.iter().map(|(bit, _)| bit).sum();
    let mut words: Vec<_> =
        table.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| (*name).to_owned()).collect();
    if value & !known != 0 {
        words.push(format!("{:#x}", value & !known));
    }
    words.join(" | ")
}

const PROT: [(u32, &str); 3] = [(1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC")];

const MAP: [(u32, &str); 5] = [
    (0x1, "MAP_SHARED"),
    (0x2, "MAP_PRIVATE"),
    (0x8, "MAP_DROPPABLE"),
    (0x20, "MAP_ANON"),
    (0x100, "MAP_GROWSDOWN"),
];

/// The names of crit 4.2; crit 3.17 does not know MAP_DROPPABLE and the areas from MEMFD on, and prints their bits.
const STATUS: [(u32, &str); 17] = [
    (1 << 0, "VMA_AREA_REGULAR"),
    (1 << 1, "VMA_AREA_STACK"),
    (1 << 2, "VMA_AREA_VSYSCALL"),
    (1 << 3, "VMA_AREA_VDSO"),
    (1 << 5, "VMA_AREA_HEAP"),
    (1 << 6, "VMA_FILE_PRIVATE"),
    (1 << 7, "VMA_FILE_SHARED"),
    (1 << 8, "VMA_ANON_SHARED"),
    (1 << 9, "VMA_ANON_PRIVATE"),
    (1 << 10, "VMA_AREA_SYSVIPC"),
    (1 << 11, "VMA_AREA_SOCKET"),
    (1 << 12, "VMA_AREA_VVAR"),
    (1 << 13, "VMA_AREA_AIORING"),
    (1 << 14, "VMA_AREA_MEMFD"),
    (1 << 15, "VMA_AREA_SHSTK"),
    (1 << 17, "VMA_AREA_UPROBES"),
    (1 << 31, "VMA_UNSUPP"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_spelled_as_crit_does() {
        assert_eq!(prot_text(0), "");
        assert_eq!(prot_text(7), "PROT_READ | PROT_WRITE | PROT_EXEC");
        assert_eq!(map_text(0x2022), "MAP_PRIVATE | MAP_ANON | 0x2000");
        assert_eq!(map_text(0x4040_0000), "0x40400000");
        assert_eq!(status_text(0x8000_2010), "VMA_AREA_AIORING | VMA_UNSUPP | 0x10");
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let object = entry_json(&MmEntry::default());
        let keys: Vec<_> = object.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 12);
        assert_eq!(object["mm_brk"], "0x0");
        let vma = vma_json(&VmaEntry { fdflags: Some(0), ..VmaEntry::default() });
        assert_eq!(vma.get("madv"), None);
        assert_eq!(vma["fdflags"], "0x0");
    }
}
