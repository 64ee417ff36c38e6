//! Pictures in memory: rows of pixels of `C` bytes each, owned ([`Raster`]) or borrowed ([`RasterView`]).

use std::fmt;

use crate::{ImageError, Orientation};

/// A picture of `C` bytes a pixel: row after row from the top, without gaps.
#[derive(Clone, PartialEq, Eq)]
pub struct Raster<const C: usize> {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

/// A picture in red, green and blue, one byte each.
pub type Image = Raster<3>;

/// A picture of brightness alone, one byte a pixel.
pub type Grey = Raster<1>;

impl<const C: usize> Raster<C> {
    /// A black picture. A side of no pixels, and more pixels than memory has room for, are errors.
    pub fn new(width: usize, height: usize) -> Result<Self, ImageError> {
        let bytes = width.checked_mul(height).and_then(|n| n.checked_mul(C)).filter(|&n| n > 0);
        let bytes = bytes.ok_or(ImageError::Target { width, height })?;
        Ok(Self { width, height, data: zeroed(bytes)? })
    }

    /// Takes tightly packed pixels, which must be exactly `width * height * C` bytes.
    pub fn from_vec(width: usize, height: usize, data: Vec<u8>) -> Result<Self, ImageError> {
        let view = RasterView::<C>::new(width, height, width.saturating_mul(C), &data)?;
        if view.data.len() != data.len() {
            return Err(shape_error::<C>(width, height, width * C, data.len()));
        }
        Ok(Self { width, height, data })
    }

    /// Copies pixels whose rows are `stride` bytes apart (at least `width * C`).
    pub fn from_strided(
        width: usize,
        height: usize,
        stride: usize,
        bytes: &[u8],
    ) -> Result<Self, ImageError> {
        RasterView::new(width, height, stride, bytes)?.to_owned()
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All bytes, `C` a pixel, row after row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All bytes, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The bytes alone.
    pub fn into_vec(self) -> Vec<u8> {
        self.data
    }

    /// The bytes of row `y`.
    ///
    /// # Panics
    /// If `y` is not below [`height`](Self::height).
    pub fn row(&self, y: usize) -> &[u8] {
        &self.data[y * self.width * C..][..self.width * C]
    }

    /// The bytes of row `y`, to be changed in place.
    ///
    /// # Panics
    /// If `y` is not below [`height`](Self::height).
    pub fn row_mut(&mut self, y: usize) -> &mut [u8] {
        &mut self.data[y * self.width * C..][..self.width * C]
    }

    /// The bytes of one pixel.
    ///
    /// # Panics
    /// If there is no such pixel.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; C] {
        *self.view().pixel(x, y)
    }

    /// The whole picture, borrowed.
    pub fn view(&self) -> RasterView<'_, C> {
        RasterView { width: self.width, height: self.height, stride: self.width * C, data: &self.data }
    }

    /// A copy of the `width` × `height` pixels whose upper left one is (`x`, `y`).
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Result<Self, ImageError> {
        self.view().crop(x, y, width, height)?.to_owned()
    }

    /// The same picture turned as `orientation` says. Only a change of sides takes a second buffer.
    pub fn oriented(mut self, orientation: Orientation) -> Result<Self, ImageError> {
        match orientation {
            Orientation::Upright => return Ok(self),
            Orientation::FlipHorizontal => self.flip_horizontal(),
            Orientation::FlipVertical => self.flip_vertical(),
            Orientation::Rotate180 => {
                self.flip_horizontal();
                self.flip_vertical();
            }
            Orientation::Transpose => return self.transposed(false, false),
            Orientation::Rotate90 => return self.transposed(true, false),
            Orientation::Rotate270 => return self.transposed(false, true),
            Orientation::Transverse => return self.transposed(true, true),
        }
        Ok(self)
    }

    fn flip_horizontal(&mut self) {
        for row in self.data.chunks_exact_mut(self.width * C) {
            let (pixels, _) = row.as_chunks_mut::<C>();
            pixels.reverse();
        }
    }

    fn flip_vertical(&mut self) {
        let row = self.width * C;
        let half = self.height / 2;
        let (upper, lower) = self.data.split_at_mut(self.height.div_ceil(2) * row);
        for (a, b) in upper[..half * row].chunks_exact_mut(row).zip(lower.chunks_exact_mut(row).rev()) {
            a.swap_with_slice(b);
        }
    }

    /// Exchanges rows and columns; `mirror_x` and `mirror_y` then mirror the result.
    fn transposed(&self, mirror_x: bool, mirror_y: bool) -> Result<Self, ImageError> {
        // Squares of this many pixels keep both the rows read and the rows written in the nearest cache.
        const TILE: usize = 32;
        let (width, height) = (self.height, self.width);
        let mut out = Self::new(width, height)?;
        let (source, _) = self.data.as_chunks::<C>();
        let (target, _) = out.data.as_chunks_mut::<C>();
        for y0 in (0..height).step_by(TILE) {
            for x0 in (0..width).step_by(TILE) {
                for y in y0..(y0 + TILE).min(height) {
                    let from_x = if mirror_y { height - 1 - y } else { y };
                    for x in x0..(x0 + TILE).min(width) {
                        let from_y = if mirror_x { width - 1 - x } else { x };
                        target[y * width + x] = source[from_y * height + from_x];
                    }
                }
            }
        }
        Ok(out)
    }
}

impl Raster<3> {
    /// Copies RGB pixels, three bytes each, whose rows are `stride` bytes apart.
    ///
    /// ```
    /// use tiny_vlm_image::Image;
    ///
    /// let camera = [255, 0, 0, 0, 255, 0, 0, 0, /* second row */ 0, 0, 255, 9, 9, 9];
    /// let image = Image::from_rgb8(2, 2, 8, &camera)?;
    /// assert_eq!(image.pixel(1, 1), [9, 9, 9]);
    /// # Ok::<(), tiny_vlm_image::ImageError>(())
    /// ```
    pub fn from_rgb8(width: usize, height: usize, stride: usize, bytes: &[u8]) -> Result<Self, ImageError> {
        Self::from_strided(width, height, stride, bytes)
    }

    /// Brightness as Pillow's mode `L` has it: ITU-R 601 luma, in 16-bit fixed point, rounded.
    pub fn to_grey(&self) -> Grey {
        let (pixels, _) = self.data.as_chunks::<3>();
        Raster { width: self.width, height: self.height, data: pixels.iter().map(luma).collect() }
    }
}

impl Raster<1> {
    /// The same brightness in all three colours.
    pub fn to_rgb(&self) -> Result<Image, ImageError> {
        let mut out = Image::new(self.width, self.height)?;
        let (pixels, _) = out.data.as_chunks_mut::<3>();
        for (rgb, &grey) in pixels.iter_mut().zip(&self.data) {
            *rgb = [grey; 3];
        }
        Ok(out)
    }
}

/// `(19595 R + 38470 G + 7471 B + 0x8000) >> 16`.
pub(crate) fn luma(&[r, g, b]: &[u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

impl<const C: usize> fmt::Debug for Raster<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raster<{C}>({} × {})", self.width, self.height)
    }
}

/// A picture that lies in somebody else's memory, or a part of one.
#[derive(Clone, Copy)]
pub struct RasterView<'a, const C: usize> {
    width: usize,
    height: usize,
    stride: usize,
    data: &'a [u8],
}

impl<'a, const C: usize> RasterView<'a, C> {
    /// `width` × `height` pixels whose rows begin `stride` bytes apart; the last row may end without its padding.
    pub fn new(width: usize, height: usize, stride: usize, data: &'a [u8]) -> Result<Self, ImageError> {
        let row = width.checked_mul(C).filter(|&row| row > 0 && row <= stride);
        let used = row.and_then(|row| height.checked_sub(1)?.checked_mul(stride)?.checked_add(row));
        match used.and_then(|used| data.get(..used)) {
            Some(data) => Ok(Self { width, height, stride, data }),
            None => Err(shape_error::<C>(width, height, stride, data.len())),
        }
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Bytes from the beginning of one row to that of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The bytes of row `y`.
    ///
    /// # Panics
    /// If `y` is not below [`height`](Self::height).
    pub fn row(&self, y: usize) -> &'a [u8] {
        assert!(y < self.height, "row {y} of {}", self.height);
        &self.data[y * self.stride..][..self.width * C]
    }

    /// The bytes of one pixel.
    ///
    /// # Panics
    /// If there is no such pixel.
    pub fn pixel(&self, x: usize, y: usize) -> &'a [u8; C] {
        &self.row(y).as_chunks::<C>().0[x]
    }

    /// The `width` × `height` pixels whose upper left one is (`x`, `y`).
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Result<Self, ImageError> {
        let inside = |from: usize, length: usize, all: usize| {
            length > 0 && from.checked_add(length).is_some_and(|end| end <= all)
        };
        if !inside(x, width, self.width) || !inside(y, height, self.height) {
            let far = |from: usize, length: usize| from.saturating_add(length) as f32;
            return Err(ImageError::Area {
                area: [x as f32, y as f32, far(x, width), far(y, height)],
                width: self.width,
                height: self.height,
            });
        }
        let data = &self.data[y * self.stride + x * C..];
        let used = (height - 1) * self.stride + width * C;
        Ok(Self { width, height, stride: self.stride, data: &data[..used] })
    }

    /// A copy without gaps between the rows.
    pub fn to_owned(&self) -> Result<Raster<C>, ImageError> {
        let mut out = Raster::new(self.width, self.height)?;
        for (y, row) in out.data.chunks_exact_mut(self.width * C).enumerate() {
            row.copy_from_slice(self.row(y));
        }
        Ok(out)
    }
}

impl<const C: usize> fmt::Debug for RasterView<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RasterView<{C}>({} × {}, stride {})", self.width, self.height, self.stride)
    }
}

fn shape_error<const C: usize>(width: usize, height: usize, stride: usize, bytes: usize) -> ImageError {
    ImageError::Shape { width, height, channels: C, stride, bytes }
}

/// Zeros, or an error where there is no memory for them.
pub(crate) fn zeroed(bytes: usize) -> Result<Vec<u8>, ImageError> {
    let mut data = Vec::new();
    data.try_reserve_exact(bytes).map_err(|_| ImageError::Memory { bytes })?;
    data.resize(bytes, 0);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let bytes = [0u8; 24];
        assert!(Image::from_rgb8(2, 4, 6, &bytes).is_ok());
        assert!(Image::from_rgb8(2, 3, 9, &bytes).is_ok(), "the last row needs no padding");
        for (width, height, stride) in [
            (2, 5, 6),
            (2, 4, 5),
            (0, 4, 6),
            (2, 0, 6),
            (usize::MAX, 1, 6),
            (1, usize::MAX, usize::MAX),
            (2, 2, 24),
        ] {
            let error = Image::from_rgb8(width, height, stride, &bytes).unwrap_err();
            assert_eq!(error.code(), "image-shape", "{width} {height} {stride}");
        }
        assert!(Image::from_vec(2, 4, bytes.to_vec()).is_ok());
        assert!(Image::from_vec(2, 3, bytes.to_vec()).is_err());
        assert!(Image::new(0, 3).is_err() && Image::new(usize::MAX, 3).is_err());
    }

    #[test]
    fn crops() {
        let image = Grey::from_vec(3, 3, (0..9).collect()).unwrap();
        assert_eq!(image.crop(1, 1, 2, 2).unwrap().data(), [4, 5, 7, 8]);
        assert_eq!(image.view().crop(1, 0, 2, 3).unwrap().crop(1, 1, 1, 2).unwrap().row(1), [8]);
        for (x, y, w, h) in [(2, 0, 2, 1), (0, 0, 0, 1), (3, 0, 1, 1), (usize::MAX, 0, 2, 1)] {
            assert_eq!(image.crop(x, y, w, h).unwrap_err().code(), "image-area");
        }
    }

    #[test]
    fn orientations_move_the_corners() {
        // 0 1 2
        // 3 4 5
        let turned = |value| {
            let image = Grey::from_vec(3, 2, (0..6).collect()).unwrap();
            let image = image.oriented(Orientation::from_exif(value).unwrap()).unwrap();
            (image.width(), image.into_vec())
        };
        assert_eq!(turned(1), (3, vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(turned(2), (3, vec![2, 1, 0, 5, 4, 3]));
        assert_eq!(turned(3), (3, vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(turned(4), (3, vec![3, 4, 5, 0, 1, 2]));
        assert_eq!(turned(5), (2, vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(turned(6), (2, vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(turned(7), (2, vec![5, 2, 4, 1, 3, 0]));
        assert_eq!(turned(8), (2, vec![2, 5, 1, 4, 0, 3]));
    }

    #[test]
    fn flips_with_odd_and_even_heights() {
        for height in 1..5 {
            let mut image = Grey::from_vec(1, height, (0..height as u8).collect()).unwrap();
            image.flip_vertical();
            assert!(image.data().iter().copied().eq((0..height as u8).rev()));
        }
    }
}
