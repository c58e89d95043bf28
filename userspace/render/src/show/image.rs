//! An mm image as text.

use std::io::{self, Write};

use aioinspect_model::image::MmImage;

use crate::count::count;
use crate::show::{or_dash, row, table, yes};

pub(super) fn print(image: &MmImage, out: &mut dyn Write) -> io::Result<()> {
    let (aios, vmas) = (count(image.aios.len(), "context"), count(image.vmas.len(), "mapping"));
    writeln!(out, "mm image: {aios}, {vmas}")?;
    aio_table(image, out)?;
    writeln!(out, "\nlayout")?;
    let layout: Vec<_> = image.layout.iter().map(|(name, at)| row![name, format!("{at:#x}")]).collect();
    table("  ", &layout, out)?;
    writeln!(
        out,
        "  exe_file_id {}, dumpable {}, thp_disabled {}, auxv of {}",
        image.exe_file_id,
        or_dash(image.dumpable),
        yes(image.thp_disabled),
        count(image.auxv.len(), "word"),
    )?;
    vma_table(image, out)
}

fn aio_table(image: &MmImage, out: &mut dyn Write) -> io::Result<()> {
    let ring_at = |start: u64| image.vmas.iter().find(|vma| vma.is_ring && vma.start == start);
    if !image.aios.is_empty() {
        let mut rows = vec![row!["CONTEXT", "NR_REQ", "RING_LEN", "MAPPED"]];
        rows.extend(image.aios.iter().map(|aio| {
            let mapped = ring_at(aio.id.0).map(|vma| vma.end.saturating_sub(vma.start));
            let mapped = match mapped {
                Some(len) if len == u64::from(aio.ring_len) => "yes".to_owned(),
                Some(len) => format!("{len} bytes"),
                None => "no".to_owned(),
            };
            row![aio.id, aio.nr_req, aio.ring_len, mapped]
        }));
        writeln!(out, "\naios")?;
        table("  ", &rows, out)?;
    }
    let has_entry = |start: u64| image.aios.iter().any(|aio| aio.id.0 == start);
    let ghosts: Vec<_> = image.vmas.iter().filter(|vma| vma.is_ring && !has_entry(vma.start)).collect();
    if !ghosts.is_empty() {
        writeln!(out, "\nrings without an entry in aios")?;
    }
    for ghost in ghosts {
        writeln!(out, "  {:#x}-{:#x}", ghost.start, ghost.end)?;
    }
    Ok(())
}

fn vma_table(image: &MmImage, out: &mut dyn Write) -> io::Result<()> {
    if image.vmas.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nvmas")?;
    let mut rows = vec![row!["START", "END", "PGOFF", "SHMID", "PROT", "FLAGS", "STATUS", "MADV", "FDFLAGS"]];
    rows.extend(image.vmas.iter().map(|vma| {
        row![
            format!("{:#x}", vma.start),
            format!("{:#x}", vma.end),
            vma.pgoff,
            vma.shmid,
            short(&vma.prot),
            short(&vma.flags),
            short(&vma.status),
            or_dash(vma.madv.map(|bits| format!("{bits:#x}"))),
            or_dash(vma.fdflags.map(|bits| format!("{bits:#x}"))),
        ]
    }));
    table("  ", &rows, out)
}

/// `VMA_AREA_REGULAR | VMA_FILE_PRIVATE` as `regular,file_private`.
fn short(names: &str) -> String {
    let prefixes = ["VMA_AREA_", "VMA_", "MAP_", "PROT_"];
    let strip = |name: &str| {
        prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name).to_lowercase()
    };
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.split(" | ").map(strip).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use crate::show::image_text;
    use aioinspect_model::image::{AioRing, ImageVma, MmImage};
    use aioinspect_model::units::ContextId;

    fn text(image: &MmImage) -> String {
        let mut out = Vec::new();
        image_text(image, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_image_is_readable() {
        let ring = |start: u64, end| ImageVma {
            start,
            end,
            prot: "PROT_READ | PROT_WRITE".to_owned(),
            flags: "MAP_SHARED".to_owned(),
            status: "VMA_AREA_AIORING".to_owned(),
            fdflags: Some(2),
            is_ring: true,
            ..ImageVma::default()
        };
        let image = MmImage {
            aios: vec![AioRing { id: ContextId(0x7000), nr_req: 126, ring_len: 8192 }],
            layout: vec![("mm_start_code", 0x1000), ("mm_brk", 0x2000)],
            vmas: vec![ring(0x7000, 0x9000), ring(0xa000, 0xb000)],
            dumpable: Some(1),
            ..MmImage::default()
        };
        assert_eq!(
            text(&image),
            "\
mm image: 1 context, 2 mappings

aios
  CONTEXT  NR_REQ  RING_LEN  MAPPED
  0x7000      126      8192  yes

rings without an entry in aios
  0xa000-0xb000

layout
  mm_start_code  0x1000
  mm_brk         0x2000
  exe_file_id 0, dumpable 1, thp_disabled -, auxv of 0 words

vmas
  START   END     PGOFF  SHMID  PROT        FLAGS   STATUS   MADV  FDFLAGS
  0x7000  0x9000      0      0  read,write  shared  aioring  -     0x2
  0xa000  0xb000      0      0  read,write  shared  aioring  -     0x2
"
        );
        assert_eq!(
            text(&MmImage::default()),
            "mm image: 0 contexts, 0 mappings\n\nlayout\n  exe_file_id 0, dumpable -, thp_disabled -, auxv of 0 words\n"
        );
    }
}
