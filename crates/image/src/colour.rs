//! Rows of any colour type to rows of RGB, as Pillow converts them.

/// What becomes of transparency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alpha {
    /// The picture is laid on white, as paper and browsers show it.
    #[default]
    White,
    /// The alpha channel is dropped and the colours stay as they are stored: Pillow's `convert("RGB")`, which the
    /// reference image processors call.
    Drop,
}

/// What becomes of grey pixels of 16 bits. (Colours of 16 bits keep their upper byte in either case.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeepGrey {
    /// The upper byte is kept.
    #[default]
    UpperByte,
    /// Everything above 255 becomes 255: Pillow's `convert("RGB")` of its mode `I;16`.
    Clip,
}

/// How samples lie in a row; those of 16 bits have their upper byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Samples {
    Grey8,
    GreyAlpha8,
    Rgb8,
    Rgba8,
    Grey16,
    GreyAlpha16,
    Rgb16,
    Rgba16,
}

impl Samples {
    /// Writes the pixels of `row` as RGB; the shorter of the two decides how many.
    pub(crate) fn to_rgb(self, row: &[u8], out: &mut [u8], alpha: Alpha, deep_grey: DeepGrey) {
        let (out, _) = out.as_chunks_mut::<3>();
        match self {
            Self::Grey8 => each(out, row, |&[g]| [g; 3]),
            Self::GreyAlpha8 => each(out, row, |&[g, a]| alpha.flatten([g; 3], a)),
            Self::Rgb8 => each(out, row, |&rgb| rgb),
            Self::Rgba8 => each(out, row, |&[r, g, b, a]| alpha.flatten([r, g, b], a)),
            Self::Grey16 => match deep_grey {
                DeepGrey::UpperByte => each(out, row, |&[g, _]| [g; 3]),
                DeepGrey::Clip => each(out, row, |&[upper, g]| [if upper > 0 { 255 } else { g }; 3]),
            },
            Self::GreyAlpha16 => each(out, row, |&[g, _, a, _]| alpha.flatten([g; 3], a)),
            Self::Rgb16 => each(out, row, |&[r, _, g, _, b, _]| [r, g, b]),
            Self::Rgba16 => each(out, row, |&[r, _, g, _, b, _, a, _]| alpha.flatten([r, g, b], a)),
        }
    }
}

fn each<const N: usize>(out: &mut [[u8; 3]], row: &[u8], convert: impl Fn(&[u8; N]) -> [u8; 3]) {
    for (rgb, pixel) in out.iter_mut().zip(row.as_chunks::<N>().0) {
        *rgb = convert(pixel);
    }
}

impl Alpha {
    /// One colour with its opacity, on white or bare. The arithmetic is that of Pillow's `alpha_composite`.
    pub(crate) fn flatten(self, rgb: [u8; 3], a: u8) -> [u8; 3] {
        if self == Self::Drop || a == 255 {
            return rgb;
        }
        // Weights with seven more bits than a byte, then a division by 255 with rounding.
        let over = u32::from(a) * 128;
        let under = 255 * 128 - over;
        rgb.map(|c| {
            let t = u32::from(c) * over + 255 * under + (0x80 << 7);
            ((((t >> 8) + t) >> 8) >> 7) as u8
        })
    }
}

/// Cyan, magenta, yellow and black, 255 being full ink, as Pillow converts them: `255 - k - c (255 - k) / 255`.
pub(crate) fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let white = 255 - k;
    [c, m, y].map(|ink| {
        let t = u32::from(ink) * u32::from(white) + 128;
        white.saturating_sub((((t >> 8) + t) >> 8) as u8)
    })
}
