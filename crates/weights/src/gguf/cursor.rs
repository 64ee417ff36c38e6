//! Reading numbers and strings one after the other, never beyond the end.

/// Bytes, and how far they were read.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end =
            end.ok_or_else(|| format!("it ends within its header, after {} bytes", self.bytes.len()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// A string of at most `most` bytes.
    pub(super) fn string(&mut self, most: usize) -> Result<&'a str, String> {
        let length = self.u64()?;
        let length = usize::try_from(length).ok().filter(|&length| length <= most);
        let length = length.ok_or_else(|| format!("a string is longer than {most} bytes"))?;
        std::str::from_utf8(self.take(length)?).map_err(|_| "a string is not UTF-8".to_owned())
    }
}
