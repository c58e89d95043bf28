//! Messages, packed by zstd, if need be by what they have in common with another.

use zstd_safe::{CCtx, CParameter, DCtx, DParameter, get_error_name};

use crate::recording::RecordingError;
use aioinspect_proto::recording::MAX_MESSAGE_LEN;

/// Higher ones take several times as long and save a tenth.
const LEVEL: i32 = 3;
/// 2^27 bytes hold the largest message twice.
const LARGEST_WINDOW: u32 = 27;

/// Packs a message. `prefix`: what the reader will have unpacked before; what is in there is not stored again.
pub(super) fn pack(message: &[u8], prefix: &[u8]) -> Result<Vec<u8>, RecordingError> {
    let mut context = CCtx::try_create().ok_or(RecordingError::Zstd("no memory"))?;
    let both = message.len().saturating_add(prefix.len());
    // What is reached back for lies as far back as the prefix is long.
    let window = both.max(1).next_power_of_two().trailing_zeros().clamp(10, LARGEST_WINDOW);
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(window),
        CParameter::EnableLongDistanceMatching(!prefix.is_empty()),
    ] {
        context.set_parameter(parameter).map_err(of_zstd)?;
    }
    context.ref_prefix(prefix).map_err(of_zstd)?;
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(message.len()));
    context.compress2(&mut packed, message).map_err(of_zstd)?;
    packed.shrink_to_fit();
    Ok(packed)
}

/// Unpacks a message of exactly `len` bytes: no more memory than that is written to, whatever is packed.
pub(super) fn unpack(packed: &[u8], len: u32, prefix: &[u8]) -> Result<Vec<u8>, RecordingError> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len > MAX_MESSAGE_LEN {
        return Err(aioinspect_proto::recording::RecordError::TooLarge(len).into());
    }
    let mut context = DCtx::try_create().ok_or(RecordingError::Zstd("no memory"))?;
    context.set_parameter(DParameter::WindowLogMax(LARGEST_WINDOW)).map_err(of_zstd)?;
    context.ref_prefix(prefix).map_err(of_zstd)?;
    let mut message = Vec::new();
    message.try_reserve_exact(len).map_err(|_| RecordingError::Zstd("no memory"))?;
    context.decompress(&mut message, packed).map_err(of_zstd)?;
    if message.len() == len {
        return Ok(message);
    }
    let wide = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    Err(RecordingError::Length { said: wide(len), is: wide(message.len()) })
}

fn of_zstd(code: zstd_safe::ErrorCode) -> RecordingError {
    RecordingError::Zstd(get_error_name(code))
}
