//! Safetensors files, written tensor by tensor.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tiny_vlm_memory::ALIGNMENT;
use tiny_vlm_quant::Matrix;

use crate::{Dtype, TensorRef, WeightsError, packed};

/// Bytes that the header has for a tensor besides its name, which it has twice.
const ENTRY: usize = 480;

/// Writes a safetensors file, of packed matrices and of tensors as they are stored elsewhere.
///
/// Tensors go to the file as they come. The data begin at a multiple of [`ALIGNMENT`] bytes, and a packed matrix is a
/// multiple of it long: so matrices that come before all other tensors are used where they lie when the file is mapped.
/// The file appears under its name when it is [finished](Self::finish), whole; until then it is beside it as
/// `NAME.partial`, which goes away with the writer.
pub struct Writer {
    /// Nothing once it is whole.
    file: Option<BufWriter<File>>,
    path: PathBuf,
    partial: PathBuf,
    /// Bytes kept free for the header.
    header: usize,
    /// Bytes of data so far.
    end: usize,
    tensors: serde_json::Map<String, Value>,
    metadata: BTreeMap<String, String>,
}

impl Writer {
    /// Begins a file at `path` for tensors of these names, and no others.
    pub fn create<'n>(
        path: impl AsRef<Path>,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, WeightsError> {
        let path = path.as_ref().to_path_buf();
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let header = Self::header_bytes(names);
        let file = File::create(&partial).and_then(|mut file| {
            file.seek(SeekFrom::Start(header as u64))?;
            Ok(BufWriter::with_capacity(1 << 20, file))
        });
        let file = file.map_err(WeightsError::write(&partial))?;
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        Ok(Self {
            file: Some(file),
            path,
            partial,
            header,
            end: 0,
            tensors: serde_json::Map::new(),
            metadata,
        })
    }

    /// Bytes at the front of a file for tensors of these names.
    pub fn header_bytes<'n>(names: impl IntoIterator<Item = &'n str>) -> usize {
        let entries: usize = names.into_iter().map(|name| ENTRY + 2 * escaped(name)).sum();
        (8 + ENTRY + entries).next_multiple_of(ALIGNMENT)
    }

    /// Adds a matrix, packed, that a model asks for in `shape`.
    pub fn matrix(&mut self, name: &str, shape: &[usize], matrix: &Matrix) -> Result<(), WeightsError> {
        let bytes = matrix.to_packed();
        self.tensor(name, "U8", &[bytes.len()], &bytes)?;
        self.metadata.extend([packed::describe(name, matrix.layout(), shape)]);
        Ok(())
    }

    /// Adds a tensor as it is stored.
    pub fn stored(&mut self, name: &str, tensor: &TensorRef<'_>) -> Result<(), WeightsError> {
        match tensor.dtype() {
            Dtype::Packed(layout) => {
                self.tensor(name, "U8", &[tensor.bytes().len()], tensor.bytes())?;
                self.metadata.extend([packed::describe(name, layout, tensor.shape())]);
                Ok(())
            }
            dtype if tensor.is_readable() && !matches!(dtype, Dtype::Blocks(_)) => {
                self.tensor(name, &dtype.to_string(), tensor.shape(), tensor.bytes())
            }
            dtype => {
                let source = io::Error::other(format!("{name} is of type {dtype}, which is no parameter's"));
                Err(WeightsError::Write { path: self.path.clone(), source })
            }
        }
    }

    fn tensor(&mut self, name: &str, dtype: &str, shape: &[usize], bytes: &[u8]) -> Result<(), WeightsError> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes).map_err(WeightsError::write(&self.partial))?;
        }
        let end = self.end + bytes.len();
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [self.end, end]});
        self.tensors.insert(name.to_owned(), entry);
        self.end = end;
        Ok(())
    }

    /// Writes the header and gives the file its name. Returns the bytes of the whole file.
    pub fn finish(mut self) -> Result<u64, WeightsError> {
        self.tensors.insert("__metadata__".to_owned(), json!(self.metadata));
        let mut header = Value::Object(std::mem::take(&mut self.tensors)).to_string().into_bytes();
        let room = self.header - 8;
        let Some(mut file) = self.file.take() else { return Ok(0) };
        let write = || -> io::Result<()> {
            if header.len() > room {
                return Err(io::Error::other("more tensors than were announced"));
            }
            header.resize(room, b' ');
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&(room as u64).to_le_bytes())?;
            file.write_all(&header)?;
            file.into_inner().map_err(|error| error.into_error())?.sync_all()
        };
        let written = write().map_err(WeightsError::write(&self.partial));
        let renamed = written
            .and_then(|()| fs::rename(&self.partial, &self.path).map_err(WeightsError::write(&self.path)));
        if renamed.is_err() {
            let _ = fs::remove_file(&self.partial);
        }
        renamed?;
        Ok((self.header + self.end) as u64)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What is left of a file that nobody wanted whole is in nobody's way.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Bytes of a name within a JSON string.
fn escaped(name: &str) -> usize {
    Value::from(name).to_string().len()
}
