//! Reading numbers and strings one after the other, never beyond the end.

/// Bytes, and how far they were read.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Values of arrays that may still be made.
    values: usize,
}

/// Values of all arrays of the file with the most: four times a vocabulary of half a million with its merges.
const MAX_VALUES: usize = 1 << 23;

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, values: MAX_VALUES }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The length of an array whose values take `least` bytes each, if there are bytes for so many, and room.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, String> {
        let count = self.u64()?;
        let most = (self.bytes.len() - self.at) / least;
        let count = usize::try_from(count).ok().filter(|&count| count <= most);
        let count = count.ok_or("an array is longer than the file")?;
        self.values = self.values.checked_sub(count).ok_or("its arrays are too long")?;
        Ok(count)
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
