//! GGUF files: metadata, a list of tensors, then their bytes.
//!
//! Everything is little endian. A file is `GGUF`, a version (2 or 3 are read), the numbers of tensors and of metadata, the
//! metadata (name, type, value), for each tensor its name, axes (innermost first), type and offset, and from the next
//! multiple of `general.alignment` on the tensors' bytes. Strings are a length and UTF-8.
//!
//! Nothing is believed: counts are held against the bytes that are left before anything is made of them, offsets and
//! lengths are added with care, and every tensor must lie within the file.

mod cursor;
mod value;

use std::collections::BTreeMap;

use tiny_vlm_memory::SharedBytes;

use crate::blocks::BlockFormat;
use crate::shard::{Contents, Entry, Shard};
use crate::{Dtype, WeightsError, words};
use cursor::Cursor;

pub use value::GgufValue;

/// What the file begins with.
const MAGIC: &[u8; 4] = b"GGUF";
/// Tensors of the largest file, and its metadata.
const MAX_TENSORS: u64 = 1 << 20;
const MAX_VALUES: u64 = 1 << 16;
/// Axes of a tensor.
const MAX_AXES: u32 = 4;
/// Bytes of the longest name of a tensor or of metadata.
const MAX_NAME: usize = 1 << 12;
/// Where tensors begin, unless the metadata says otherwise.
const ALIGNMENT: u64 = 32;

/// Whether a file is of this kind.
pub(crate) fn is_gguf(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads the list of tensors and the metadata. `file` is what errors call it.
pub(crate) fn read(
    shard: &Shard,
    file: &str,
) -> Result<(Contents, BTreeMap<String, GgufValue>), WeightsError> {
    let bytes: &SharedBytes = &shard.0;
    read_contents(bytes).map_err(|detail| WeightsError::Header { file: file.to_owned(), detail })
}

/// As [`read`], with faults as text.
fn read_contents(bytes: &[u8]) -> Result<(Contents, BTreeMap<String, GgufValue>), String> {
    let mut cursor = Cursor::new(bytes);
    if cursor.take(4)? != MAGIC {
        return Err("it does not begin with GGUF".to_owned());
    }
    let version = cursor.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("version {version} of GGUF is not known, only 2 and 3"));
    }
    let (tensors, values) = (cursor.u64()?, cursor.u64()?);
    if tensors > MAX_TENSORS || values > MAX_VALUES {
        return Err(format!("{tensors} tensors and {values} metadata are more than any file has"));
    }
    let mut metadata = BTreeMap::new();
    for _ in 0..values {
        let name = cursor.string(MAX_NAME)?.to_owned();
        let value = value::read(&mut cursor).map_err(|fault| format!("{}: {fault}", words::name(&name)))?;
        if metadata.insert(name.clone(), value).is_some() {
            return Err(format!("{} is there twice", words::name(&name)));
        }
    }
    let mut listed = Vec::new();
    for _ in 0..tensors {
        let name = cursor.string(MAX_NAME)?.to_owned();
        let tensor = Listed::read(&mut cursor).map_err(|fault| format!("{}: {fault}", words::name(&name)))?;
        listed.push((name, tensor));
    }
    let alignment = match metadata.get("general.alignment") {
        Some(value) => value.as_u64().filter(|alignment| alignment.is_power_of_two()),
        None => Some(ALIGNMENT),
    };
    let alignment = alignment.ok_or("general.alignment is no power of two")?;
    let data = (cursor.at() as u64).checked_next_multiple_of(alignment).ok_or("it is too large")?;
    let mut entries = Vec::with_capacity(listed.len());
    for (name, tensor) in listed {
        let begin = data.checked_add(tensor.offset);
        let end = begin.and_then(|begin| begin.checked_add(tensor.bytes));
        let range = begin.zip(end).filter(|&(_, end)| end <= bytes.len() as u64);
        let Some((begin, end)) = range else {
            return Err(format!("{} ends beyond the file", words::name(&name)));
        };
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(format!("{} begins at no multiple of {alignment}", words::name(&name)));
        }
        let bytes = begin as usize..end as usize;
        entries.push(Entry { name, dtype: tensor.dtype, shape: tensor.shape, bytes });
    }
    Ok((Contents { entries, metadata: Vec::new() }, metadata))
}

/// A tensor as the list has it.
struct Listed {
    dtype: Dtype,
    /// Outermost axis first.
    shape: Vec<usize>,
    /// From the beginning of the data.
    offset: u64,
    bytes: u64,
}

impl Listed {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        let axes = cursor.u32()?;
        if axes > MAX_AXES {
            return Err(format!("it has {axes} axes"));
        }
        let mut shape = Vec::new();
        for _ in 0..axes {
            let axis = cursor.u64()?;
            if axis == 0 {
                return Err("it has an axis of no length".to_owned());
            }
            shape.push(usize::try_from(axis).map_err(|_| "its shape is beyond all counting")?);
        }
        let kind = cursor.u32()?;
        let (dtype, values, bytes) = dtype(kind).ok_or_else(|| format!("type {kind} is not supported"))?;
        let innermost = shape.first().copied().unwrap_or(1);
        if !innermost.is_multiple_of(values) {
            return Err(format!("rows of {innermost} are no whole blocks of {dtype}"));
        }
        let elements = shape.iter().try_fold(1_u64, |product, &axis| product.checked_mul(axis as u64));
        let bytes = elements.and_then(|elements| (elements / values as u64).checked_mul(bytes as u64));
        let bytes = bytes.ok_or("its shape is beyond all counting")?;
        shape.reverse();
        Ok(Self { dtype, shape, offset: cursor.u64()?, bytes })
    }
}

/// A type of elements by its number in the file, with the values and the bytes of a block.
fn dtype(kind: u32) -> Option<(Dtype, usize, usize)> {
    let plain = |dtype, bytes| Some((dtype, 1, bytes));
    match kind {
        0 => plain(Dtype::F32, 4),
        1 => plain(Dtype::F16, 2),
        24 => plain(Dtype::I8, 1),
        25 => plain(Dtype::I16, 2),
        26 => plain(Dtype::I32, 4),
        27 => plain(Dtype::I64, 8),
        28 => plain(Dtype::F64, 8),
        30 => plain(Dtype::Bf16, 2),
        _ => {
            let (_, format) = BlockFormat::ALL.into_iter().find(|&(number, _)| number == kind)?;
            Some((Dtype::Blocks(format), format.values(), format.bytes()))
        }
    }
}
