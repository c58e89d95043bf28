//! The image that `dump` writes, beside the one that CRIU writes of the same process.

use std::path::Path;

use aioinspect_model::architecture::Architecture;
use aioinspect_tests::criu::{Net, Scripts};
use aioinspect_tests::programs::run_aioinspect;
use serde_json::Value;

use crate::bed::Bed;

/// Words of the auxiliary vector that CRIU kept on aarch64 until 4.1.
const EARLIER_WORDS: usize = 40;

/// The one entry of an mm image, as `show -J` prints it.
fn entry(path: &Path) -> Value {
    let shown = run_aioinspect(&["show", "-J", path.to_str().unwrap()]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let mut image: Value = serde_json::from_str(&shown.stdout).unwrap();
    image["entries"][0].take()
}

/// Takes out what /proc does not tell, and `dump` leaves at 0: ids of CRIU's files.img, and how a file of a private mapping was opened.
fn take_ids(entry: &mut Value, is_ours: bool) {
    let take = |object: &mut Value, key: &str, none: &Value| {
        let taken = object.as_object_mut().unwrap().remove(key).unwrap();
        assert!(!is_ours || taken == *none, "{key} is {taken}: not known, and not {none} either");
    };
    take(entry, "exe_file_id", &Value::from(0));
    for vma in entry["vmas"].as_array_mut().unwrap() {
        let status = vma["status"].as_str().unwrap().to_owned();
        if status.contains("VMA_FILE_") {
            take(vma, "shmid", &Value::from(0));
        }
        if status.contains("VMA_FILE_PRIVATE") {
            take(vma, "fdflags", &Value::from("0x0"));
        }
    }
}

fn take_auxv(entry: &mut Value) -> Vec<Value> {
    let auxv = entry.as_object_mut().unwrap().remove("mm_saved_auxv").unwrap();
    auxv.as_array().unwrap().clone()
}

/// Takes out what contexts were made for, of which CRIU has an estimate; in the order of the image.
fn take_requests(entry: &mut Value) -> Vec<Value> {
    let rings = entry["aios"].as_array_mut().unwrap();
    rings.iter_mut().map(|ring| ring.as_object_mut().unwrap().remove("nr_req").unwrap()).collect()
}

/// Check that our image of an idle process says what CRIU's says, field by field. Only `nr_req` is to differ: ours takes as many slots as before.
#[test]
fn equals_crius() {
    let Some(mut bed) = Bed::new("equals_crius", Net::Own) else { return };
    bed.target.run("setup 128");
    bed.target.run("setup 4000");
    bed.target.run("threads 2 sleep");
    let dir = tempfile::tempdir().unwrap();
    let pid = bed.target.pid().unwrap();
    let dump = run_aioinspect(&["dump", &pid.to_string(), "-D", dir.path().to_str().unwrap()]);
    assert_eq!(dump.code, 0, "{dump:?}");
    let round = bed.home.dump(bed.target.inner, &Scripts::none(), &[]);
    assert_eq!(round.code, 0, "{}", round.log);
    let mut ours = entry(&dir.path().join(format!("mm-{pid}.img")));
    let mut theirs = entry(&bed.home.images().join(format!("mm-{}.img", bed.target.inner)));

    let (our_auxv, their_auxv) = (take_auxv(&mut ours), take_auxv(&mut theirs));
    let is_earlier = Architecture::HERE == Architecture::Aarch64 && their_auxv.len() == EARLIER_WORDS;
    let kept = if is_earlier { EARLIER_WORDS } else { our_auxv.len() };
    assert_eq!(our_auxv[..kept], their_auxv[..]);
    take_ids(&mut ours, true);
    take_ids(&mut theirs, false);
    let requests = take_requests(&mut ours);
    assert_eq!(requests, [4000, 128], "the second context is below the first");
    println!("equals_crius: nr_req {requests:?}, CRIU's estimate {:?}", take_requests(&mut theirs));
    let vmas = ours["vmas"].as_array().unwrap();
    println!("equals_crius: {} mappings, {kept} words of the auxiliary vector", vmas.len());
    for (our, their) in vmas.iter().zip(theirs["vmas"].as_array().unwrap()) {
        assert_eq!(our, their);
    }
    assert_eq!(ours, theirs);
}
