//! One safetensors file: eight bytes of length, a JSON header, then the tensors' bytes without gaps.
//!
//! The `safetensors` crate holds the header against the data: every tensor lies inside the file, none overlap, and each
//! is as long as its shape and type say. Its own cap on the header is 100 MB; a tighter one comes first.

use std::ops::Range;

use safetensors::{SafeTensorError, SafeTensors};
use tiny_vlm_memory::SharedBytes;

use crate::{Dtype, WeightsError, packed, words};

/// Bytes of the longest header that is read. A checkpoint of a hundred thousand tensors stays below it.
const MAX_HEADER: u64 = 16 << 20;
/// Axes of the tensor with the most.
pub(crate) const MAX_RANK: usize = 8;

/// The bytes of one file, wherever they are.
#[derive(Clone)]
pub(crate) struct Shard(pub(crate) SharedBytes);

/// One tensor in a shard.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Where it lies, from the beginning of the file.
    pub(crate) bytes: Range<usize>,
}

/// What a header says.
pub(crate) struct Contents {
    pub(crate) entries: Vec<Entry>,
    pub(crate) metadata: Vec<(String, String)>,
}

impl Shard {
    /// Reads and checks the header. `file` is what errors call this shard.
    pub(crate) fn read(&self, file: &str) -> Result<Contents, WeightsError> {
        let bytes: &[u8] = &self.0;
        let short = |header| WeightsError::NoHeader { file: file.to_owned(), bytes: bytes.len(), header };
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| short(0))?;
        let header = u64::from_le_bytes(*length);
        if header > rest.len() as u64 {
            return Err(short(header));
        }
        if header > MAX_HEADER {
            return Err(WeightsError::HeaderTooLarge { file: file.to_owned(), header, limit: MAX_HEADER });
        }
        let broken = |detail: String| WeightsError::Header { file: file.to_owned(), detail };
        let (length, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| broken(explain(&e)))?;
        let data = 8 + length;
        let mut entries = Vec::new();
        for (name, info) in metadata.tensors() {
            if info.shape.len() > MAX_RANK {
                return Err(broken(format!("{} has {} axes", words::name(&name), info.shape.len())));
            }
            let (begin, end) = info.data_offsets;
            entries.push(Entry {
                dtype: info.dtype.into(),
                shape: info.shape.clone(),
                bytes: data + begin..data + end,
                name,
            });
        }
        let metadata: Vec<(String, String)> =
            metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        packed::mark(file, &mut entries, &metadata)?;
        Ok(Contents { entries, metadata })
    }
}

/// The crate's errors in this project's words.
fn explain(error: &SafeTensorError) -> String {
    use SafeTensorError as E;
    match error {
        E::InvalidHeader(_) => "the header is not UTF-8".to_owned(),
        E::InvalidHeaderDeserialization(e) => {
            format!("the header is not the JSON it should be: {}", words::name(&e.to_string()))
        }
        E::InvalidOffset(name) => {
            format!("{} does not begin where the tensor before it ends", words::name(name))
        }
        E::TensorInvalidInfo => "a tensor's length is not what its shape and type make".to_owned(),
        E::MetadataIncompleteBuffer => {
            "the tensors do not fill the file: it is truncated or too long".to_owned()
        }
        E::ValidationOverflow => "a tensor's shape is beyond all counting".to_owned(),
        E::MisalignedSlice => "a tensor does not end at a byte".to_owned(),
        other => words::name(&other.to_string()),
    }
}
