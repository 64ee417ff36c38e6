//! Weights of four and two bits: codes, and a scale for each group of 32 or 64 neighbours along K.
//!
//! | codes | values | in the kernel |
//! |---|---|---|
//! | [`Layout::S4`] | −8..=7 | a byte's upper bits as they are are 16 times the value |
//! | [`Layout::S2`] | −3, −1, 1, 3 | looked up by pairs |
//!
//! A weight is `scale · value`, with the scale an f16 of either sign: so the largest magnitude of a group can always
//! take the −8 that the other side lacks. Scales lie as f16 weights do, with a column for each group.

use half::f16;

use crate::layout::{Layout, PANEL, Packed};

/// Packed codes and scales, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Grouped<'a> {
    codes: &'a [u8],
    scales: Packed<'a, f16>,
    layout: Layout,
    n: usize,
    k: usize,
}

impl<'a> Grouped<'a> {
    /// Takes packed codes and scales of an N×K matrix; nothing where the layout has no groups or a length does not fit.
    pub fn new(codes: &'a [u8], scales: &'a [f16], layout: Layout, n: usize, k: usize) -> Option<Self> {
        let (Layout::S4(group) | Layout::S2(group)) = layout else { return None };
        let scales = Packed::new(scales, n, k.div_ceil(group.size()))?;
        (layout.len(n, k) == Some(codes.len())).then_some(Grouped { codes, scales, layout, n, k })
    }

    /// Output channels.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Values of each channel.
    pub fn k(&self) -> usize {
        self.k
    }

    /// How it is laid out.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn codes(&self) -> &'a [u8] {
        self.codes
    }

    pub(crate) fn scales(&self) -> &'a [f16] {
        self.scales.data()
    }

    /// Groups of a channel.
    pub(crate) fn groups(&self) -> usize {
        self.k.div_ceil(self.layout.group())
    }

    /// One weight.
    ///
    /// # Panics
    /// If it is outside.
    pub fn get(&self, row: usize, column: usize) -> f32 {
        assert!(row < self.n && column < self.k, "({row}, {column}) of {}x{}", self.n, self.k);
        let byte = self.codes[self.layout.position(self.k, row, column)];
        let scale = self.scales.get(row, column / self.layout.group()).to_f32();
        scale * f32::from(value(self.layout, byte, column))
    }
}

/// Which bits of its byte a column has: their shift and their number.
fn bits(layout: Layout, column: usize) -> (usize, usize) {
    let (planes, bits) = (layout.planes(), 8 / layout.planes());
    (column / 4 % planes * bits, bits)
}

/// A column's value in its byte.
fn value(layout: Layout, byte: u8, column: usize) -> i8 {
    let (shift, bits) = bits(layout, column);
    if bits == 4 { ((byte >> shift) << 4) as i8 >> 4 } else { 2 * (byte >> shift & 3) as i8 - 3 }
}

/// Packs the values of an N×K matrix: −8..=7 for four bits, −3, −1, 1 and 3 for two.
///
/// # Panics
/// If `values` is not of N·K, `codes` is not of the packed length or the layout has no groups.
pub fn pack_codes(values: &[i8], n: usize, k: usize, layout: Layout, codes: &mut [u8]) {
    assert!(matches!(layout, Layout::S4(_) | Layout::S2(_)), "{} has no codes", layout.id());
    assert_eq!(values.len(), n * k, "values of {n}x{k}");
    assert_eq!(layout.len(n, k), Some(codes.len()), "packed length of {n}x{k}");
    codes.fill(0);
    if codes.is_empty() {
        return;
    }
    let panel_len = codes.len() / n.div_ceil(PANEL);
    for (panel, values) in codes.chunks_exact_mut(panel_len).zip(values.chunks(PANEL * k)) {
        for (lane, row) in values.chunks_exact(k).enumerate() {
            match layout.planes() {
                2 => pack_lane::<8>(row, lane, panel, |value| value as u8 & 15),
                _ => pack_lane::<16>(row, lane, panel, |value| ((value + 3) >> 1) as u8 & 3),
            }
        }
    }
}

/// Packs a row to its lane of a panel of zeros, `VALUES` of it to each word of four bytes.
fn pack_lane<const VALUES: usize>(row: &[i8], lane: usize, panel: &mut [u8], code: impl Fn(i8) -> u8) {
    let width = 8 / (VALUES / 4);
    let mut words = panel.chunks_exact_mut(4 * PANEL).map(|step| &mut step[4 * lane..][..4]);
    let (whole, rest) = row.as_chunks::<VALUES>();
    for (values, word) in whole.iter().zip(&mut words) {
        for (i, byte) in word.iter_mut().enumerate() {
            let codes = values[i..].iter().step_by(4).map(|value| code(*value));
            *byte = codes.enumerate().fold(0, |byte, (plane, code)| byte | code << (plane * width));
        }
    }
    if let Some(word) = words.next() {
        for (i, value) in rest.iter().enumerate() {
            word[i % 4] |= code(*value) << (i / 4 * width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Group, pack};

    #[test]
    fn packing_keeps_every_value() {
        for group in [Group::Of32, Group::Of64] {
            for layout in [Layout::S4(group), Layout::S2(group)] {
                for (n, k) in [(0, 3), (3, 0), (1, 1), (15, 31), (16, 64), (17, 65), (33, 100)] {
                    let value = |at: usize| match layout {
                        Layout::S4(_) => (at * 7 % 16) as i8 - 8,
                        _ => 2 * (at * 5 % 4) as i8 - 3,
                    };
                    let values: Vec<i8> = (0..n * k).map(value).collect();
                    let mut codes = vec![0xaa; layout.len(n, k).unwrap()];
                    pack_codes(&values, n, k, layout, &mut codes);
                    let groups = k.div_ceil(group.size());
                    let scales: Vec<f16> = (0..n * groups).map(|i| f16::from_f32(i as f32 + 1.0)).collect();
                    let mut packed = vec![f16::ZERO; Layout::F16.len(n, groups).unwrap()];
                    pack(&scales, n, groups, groups, &mut packed);
                    let weights = Grouped::new(&codes, &packed, layout, n, k).unwrap();
                    for r in 0..n {
                        for c in 0..k {
                            let scale = (r * groups + c / group.size()) as f32 + 1.0;
                            assert_eq!(
                                weights.get(r, c),
                                scale * f32::from(values[r * k + c]),
                                "{} {n}x{k}",
                                layout.id()
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_and_layouts_are_checked() {
        let (codes, scales) = ([0; 16 * 16], [f16::ZERO; 16]);
        assert!(Grouped::new(&codes, &scales, Layout::S4(Group::Of32), 3, 32).is_some());
        assert!(Grouped::new(&codes, &scales, Layout::S4(Group::Of32), 3, 33).is_none());
        assert!(Grouped::new(&codes, &scales[1..], Layout::S4(Group::Of32), 3, 32).is_none());
        assert!(Grouped::new(&codes, &scales, Layout::S8, 3, 16).is_none());
    }
}
