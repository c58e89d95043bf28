//! Images of CRIU in, amended images out: the plan of the model, carried out on bytes. No I/O.

use aioinspect_proto::image;
use aioinspect_proto::splice::{Edit, edit_aios};

use crate::{FileError, mm_image};
use aioinspect_model::amendment::{AmendedImage, Change, ImageToAmend, Refusal, plan};
use aioinspect_model::evidence::Evidence;
use aioinspect_model::units::Pid;

/// An image as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Its name, `mm-PID.img`.
    pub name: String,
    /// The PID in its name.
    pub pid: Pid,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What becomes of an image, and its new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmendedFile {
    /// Entry by entry.
    pub image: AmendedImage,
    /// The new content, which differs from the old in `aios` alone; `None`: it is right already.
    pub bytes: Option<Vec<u8>>,
}

/// Why images are not amended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendError {
    /// Not an image, or a damaged one.
    #[error("{name}: {error}")]
    File {
        /// Its name.
        name: String,
        /// Why.
        error: FileError,
    },
    /// They do not match their evidence.
    #[error("{}", lines(.0))]
    Refused(Vec<Refusal>),
}

fn lines(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Amends all images or none, for a host of `cpus` possible CPUs (`None`: that of the evidence).
pub fn amend_images(
    files: &[ImageFile],
    evidence: &[Evidence],
    cpus: Option<u32>,
) -> Result<Vec<AmendedFile>, AmendError> {
    let failed = |file: &ImageFile, error: FileError| AmendError::File { name: file.name.clone(), error };
    let images = files
        .iter()
        .map(|file| match image::decode(&file.bytes) {
            Ok(entry) => Ok(mm_image(&entry)),
            Err(error) => Err(failed(file, error.into())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let to_amend: Vec<_> = files
        .iter()
        .zip(&images)
        .map(|(file, image)| ImageToAmend { name: &file.name, pid: file.pid, image })
        .collect();
    let planned = plan(&to_amend, evidence, cpus).map_err(AmendError::Refused)?;
    planned
        .into_iter()
        .zip(files)
        .map(|(image, file)| {
            let new = || edit_aios(&file.bytes, &edits(&image)).map_err(|error| failed(file, error.into()));
            let bytes = if image.changes() { Some(new()?) } else { None };
            Ok(AmendedFile { image, bytes })
        })
        .collect()
}

fn edits(image: &AmendedImage) -> Vec<Edit> {
    let edit = |change| match change {
        Change::Keep => Edit::Keep,
        Change::NrReq(nr_req) => Edit::NrReq(nr_req),
        Change::DropGhost => Edit::Drop,
    };
    image.entries.iter().map(|entry| edit(entry.change)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use aioinspect_model::evidence::{
        AddressSpace, HeaderReading, KernelWord, Look, Manner, MmFact, Perms, Process, RingMapping,
        SystemFacts,
    };
    use aioinspect_model::kioctx::{Kioctx, RefState};
    use aioinspect_model::units::{ContextId, MmId};
    use aioinspect_proto::schema::criu::MmEntry;
    use aioinspect_proto::splice::replace_aios;

    const SAMPLE: &[u8] = include_bytes!("../../../proto/tests/fixtures/criu-4.2-mm-16-ctx.img");

    /// The evidence of the sample's process, held, with an idle context of the given max_reqs at each ring; `None`: a ghost.
    fn evidence(sample: &MmEntry, max_reqs: &[Option<u32>]) -> Evidence {
        let rings = || sample.aios.iter().zip(max_reqs);
        let perms = Perms { read: true, write: true, exec: false, shared: true };
        let contexts = rings().zip(0_u32..).filter_map(|((aio, max_reqs), table_index)| {
            let entries = (aio.ring_len - 32) / 32;
            Some(Kioctx {
                user_id: ContextId(aio.id),
                table_index,
                mmap_base: Some(aio.id),
                mmap_size: Some(aio.ring_len.into()),
                max_reqs: Some((*max_reqs)?),
                nr_events: Some(entries),
                tail: Some(0),
                completed_events: Some(0),
                reqs_available: Some(i64::from(entries) - 1),
                percpu_available: Some(0),
                percpu_refs: Some(1),
                ref_state: Some(RefState::PerCpu),
                dead: Some(false),
                ..Kioctx::default()
            })
        });
        let contexts: Vec<Kioctx> = contexts.collect();
        let header = |fact: &Kioctx| {
            let mut bytes = [0; 32];
            let entries = fact.nr_events.unwrap();
            for (word, place) in
                [fact.table_index, entries, 0, 0, 0xa10a_10a1, 1, 0, 32].iter().zip(bytes.chunks_mut(4))
            {
                place.copy_from_slice(&word.to_le_bytes());
            }
            HeaderReading { address: fact.user_id, bytes: Ok(bytes) }
        };
        let mappings = rings().zip(1..).map(|((aio, _), inode)| RingMapping {
            start: aio.id,
            end: aio.id + u64::from(aio.ring_len),
            inode,
            perms,
            ..RingMapping::default()
        });
        let look = Look {
            manner: Manner::Held,
            headers: contexts.iter().map(header).collect(),
            before: Some(KernelWord {
                contexts,
                mm: MmFact { brk: Some(sample.mm_brk), ..MmFact::default() },
                ..KernelWord::default()
            }),
            mappings: mappings.collect(),
            mappings_checked: true,
            ..Look::default()
        };
        let process = Process { pid: Pid(7), comm: b"svc".to_vec(), ..Process::default() };
        Evidence {
            system: SystemFacts { possible_cpus: 2, page_size: 4096, ..SystemFacts::default() },
            spaces: vec![AddressSpace {
                mm: MmId(1),
                processes: vec![process],
                looks: vec![look],
                ..AddressSpace::default()
            }],
            ..Evidence::default()
        }
    }

    fn file(bytes: &[u8]) -> ImageFile {
        ImageFile { name: "mm-7.img".to_owned(), pid: Pid(7), bytes: bytes.to_vec() }
    }

    proptest! {
        /// Check on CRIU's own image, with any ghosts and any arguments that make its rings: exactly the entries change that must, every other
        /// byte is kept, and a second time changes nothing.
        #[test]
        fn every_other_byte_is_kept(
            max_reqs in prop::collection::vec(prop::option::of(63_u32..=126), 16),
            tail in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let sample = image::decode(SAMPLE).unwrap();
            // A field that this program does not know, of any content.
            let mut message = image::message(SAMPLE).unwrap().to_vec();
            message.extend([0xa2, 0x06, u8::try_from(tail.len()).unwrap()]);
            message.extend(&tail);
            let old = image::frame(&message).unwrap();
            let evidence = [evidence(&sample, &max_reqs)];
            let amended = amend_images(&[file(&old)], &evidence, None).unwrap();
            let new = amended[0].bytes.clone().unwrap_or_else(|| old.clone());

            let now = image::decode(&new).unwrap();
            let left = sample.aios.iter().zip(&max_reqs).filter_map(|(aio, max_reqs)| Some((aio.id, (*max_reqs)?)));
            prop_assert_eq!(
                now.aios.iter().map(|aio| (aio.id, aio.nr_req)).collect::<Vec<_>>(),
                left.collect::<Vec<_>>()
            );
            prop_assert_eq!(replace_aios(&new, &[]).unwrap(), replace_aios(&old, &[]).unwrap());
            prop_assert_eq!(replace_aios(&new, &sample.aios).unwrap(), replace_aios(&old, &sample.aios).unwrap());

            let again = amend_images(&[file(&new)], &evidence, None).unwrap();
            prop_assert_eq!(&again[0].bytes, &None);
        }
    }

    /// Check that one bad image refuses all, by name, and that garbage is named.
    #[test]
    fn all_or_none() {
        let sample = image::decode(SAMPLE).unwrap();
        let evidence = [evidence(&sample, &[Some(64); 16])];
        let other = ImageFile { name: "mm-8.img".to_owned(), pid: Pid(8), bytes: SAMPLE.to_vec() };
        let refused = amend_images(&[file(SAMPLE), other], &evidence, None).unwrap_err();
        assert_eq!(refused.to_string(), "mm-8.img: the evidence has no process 8");
        let garbage = amend_images(&[file(b"x")], &evidence, None).unwrap_err();
        assert_eq!(garbage.to_string(), "mm-7.img: not a CRIU image");
    }
}
