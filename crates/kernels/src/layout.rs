//! Packed weights: the layouts, packing into them and reading back.
//!
//! A matrix of N output channels by K is cut into **panels of 16 channels**, and a panel into **steps of 64
//! bytes** (16 lanes of 4 bytes; of 2 for f16) along K, so that every product loads one vector of weights and
//! one broadcast word of activations a step, whatever the type and the instruction set:
//!
//! | id | type | panel | a step holds |
//! |---|---|---|---|
//! | `f32-n16` | f32 | `[N/16][K][16]` | one value of 16 channels |
//! | `bf16-n16k2` | bf16 | `[N/16][K/2][16][2]` | two |
//! | `f16-n16` | f16 | `[N/16][K][16]` | one, in 32 bytes |
//! | `bf16-n16` | bf16 | `[N/16][K][16]` | one, in 32 bytes |
//! | `s8-n16` | s8 | `[N/16][K][16]` | one, in 16 bytes |
//! | `s8-n16k4` | s8 | `[N/16][K/4][16][4]` | four |
//! | `s4-n16k8-g32`, `-g64` | s4 | `[N/16][K/8][16][4][2]` | four, in 32 bytes |
//! | `s2-n16k16-g32`, `-g64` | s2 | `[N/16][K/16][16][4][4]` | four, in 16 bytes |
//! | `f32-n16-b16` | f32 | blocks of `[16][16]` | one |
//! | `s8-n16k4-b16` | s8 | blocks of `[4][16][4]` | four |
//!
//! `bf16-n16` and `s8-n16` are of [`Single`] values, which a matrix can have one more of along K without being packed
//! again: what attention keeps of a token. The last two keep some blocks only: see [`Sparse`](crate::Sparse). Those of
//! four and two bits are of [`Grouped`](crate::Grouped), which adds scales. Their bytes are those of `s8-n16k4` laid over
//! one another: a byte's first bits belong to the first of two (or four) steps, its last bits to the last.
//!
//! N and K are padded with zeros. All of them serve matrix-vector and matrix-matrix products alike, at every
//! level: a file of packed weights fits every machine.

use tiny_vlm_simd::LANES;

/// Channels of a panel.
pub const PANEL: usize = LANES;

/// How packed weights are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// f32 in `[N/16][K][16]`.
    F32,
    /// bf16 in `[N/16][K/2][16][2]`.
    Bf16,
    /// f16 in `[N/16][K][16]`.
    F16,
    /// bf16 in `[N/16][K][16]`.
    Bf16Single,
    /// s8 in `[N/16][K][16]`.
    S8Single,
    /// s8 in `[N/16][K/4][16][4]`.
    S8,
    /// s4 in `[N/16][K/8][16][4][2]`, a scale for each group.
    S4(Group),
    /// s2 in `[N/16][K/16][16][4][4]`, a scale for each group.
    S2(Group),
    /// f32 in the blocks that are kept, `[16][16]` each.
    F32Sparse,
    /// s8 in the blocks that are kept, `[4][16][4]` each.
    S8Sparse,
}

/// How many neighbours along K share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// 32, for small models.
    Of32,
    /// 64, at half the bytes for scales.
    Of64,
}

impl Group {
    /// The number of neighbours.
    pub const fn size(self) -> usize {
        match self {
            Group::Of32 => 32,
            Group::Of64 => 64,
        }
    }
}

impl Layout {
    const ALL: [Layout; 12] = [
        Layout::F32,
        Layout::Bf16,
        Layout::F16,
        Layout::Bf16Single,
        Layout::S8Single,
        Layout::S8,
        Layout::S4(Group::Of32),
        Layout::S4(Group::Of64),
        Layout::S2(Group::Of32),
        Layout::S2(Group::Of64),
        Layout::F32Sparse,
        Layout::S8Sparse,
    ];

    /// The name that a file of packed weights carries.
    pub fn id(self) -> &'static str {
        match self {
            Layout::F32 => "f32-n16",
            Layout::Bf16 => "bf16-n16k2",
            Layout::F16 => "f16-n16",
            Layout::Bf16Single => "bf16-n16",
            Layout::S8Single => "s8-n16",
            Layout::S8 => "s8-n16k4",
            Layout::S4(Group::Of32) => "s4-n16k8-g32",
            Layout::S4(Group::Of64) => "s4-n16k8-g64",
            Layout::S2(Group::Of32) => "s2-n16k16-g32",
            Layout::S2(Group::Of64) => "s2-n16k16-g64",
            Layout::F32Sparse => "f32-n16-b16",
            Layout::S8Sparse => "s8-n16k4-b16",
        }
    }

    /// The layout of this name.
    pub fn from_id(id: &str) -> Option<Layout> {
        Layout::ALL.into_iter().find(|l| l.id() == id)
    }

    /// Values of K that stay together: those of a step, or those that share a scale. K is padded to a multiple.
    pub const fn group(self) -> usize {
        match self {
            Layout::F32 | Layout::F16 | Layout::Bf16Single | Layout::S8Single | Layout::F32Sparse => 1,
            Layout::Bf16 => 2,
            Layout::S8 | Layout::S8Sparse => 4,
            Layout::S4(group) | Layout::S2(group) => group.size(),
        }
    }

    /// Values of K that a byte holds.
    pub(crate) fn planes(self) -> usize {
        match self {
            Layout::S4(_) => 2,
            Layout::S2(_) => 4,
            _ => 1,
        }
    }

    /// Whether only some blocks are kept.
    pub fn is_sparse(self) -> bool {
        matches!(self, Layout::F32Sparse | Layout::S8Sparse)
    }

    /// Elements of the packed form of an N×K matrix (bytes, where several share one), or nothing where that
    /// overflows or the weights decide: a sparse layout has as many as its [`Pattern`](crate::Pattern) says.
    pub fn len(self, n: usize, k: usize) -> Option<usize> {
        if self.is_sparse() {
            return None;
        }
        let k = k.checked_next_multiple_of(self.group())? / self.planes();
        n.checked_next_multiple_of(PANEL)?.checked_mul(k)
    }

    /// Where an element of the matrix (or the byte that holds it) lies in the packed form.
    ///
    /// # Panics
    /// If the layout is sparse: it may not be there.
    #[inline]
    pub fn position(self, k: usize, row: usize, column: usize) -> usize {
        assert!(!self.is_sparse(), "{} gives elements no places of their own", self.id());
        let (width, planes) = match self {
            Layout::S4(_) | Layout::S2(_) => (4, self.planes()),
            _ => (self.group(), 1),
        };
        let steps = k.next_multiple_of(self.group()) / (width * planes);
        let (panel, lane) = (row / PANEL, row % PANEL);
        ((panel * steps + column / (width * planes)) * PANEL + lane) * width + column % width
    }
}

/// A packed matrix of weights, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a, T> {
    data: &'a [T],
    layout: Layout,
    n: usize,
    k: usize,
}

impl<'a, T: Element> Packed<'a, T> {
    /// Takes packed data of an N×K matrix. Only its length can be checked: an unrelated slice of this length gives
    /// meaningless products, but no others.
    pub fn new(data: &'a [T], n: usize, k: usize) -> Option<Self> {
        let fits = T::LAYOUT.len(n, k) == Some(data.len());
        fits.then_some(Packed { data, layout: T::LAYOUT, n, k })
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

    /// The packed values.
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// Steps of a panel along K.
    pub(crate) fn steps(&self) -> usize {
        self.k.div_ceil(self.layout.group())
    }

    /// One value.
    ///
    /// # Panics
    /// If it is outside.
    pub fn get(&self, row: usize, column: usize) -> T {
        assert!(row < self.n && column < self.k, "({row}, {column}) of {}x{}", self.n, self.k);
        self.data[self.layout.position(self.k, row, column)]
    }
}

/// A type that weights are packed in.
pub trait Element: Copy + Default + Send + Sync + 'static {
    /// Its layout.
    const LAYOUT: Layout;
}

impl Element for f32 {
    const LAYOUT: Layout = Layout::F32;
}
impl Element for half::bf16 {
    const LAYOUT: Layout = Layout::Bf16;
}
impl Element for half::f16 {
    const LAYOUT: Layout = Layout::F16;
}
impl Element for i8 {
    const LAYOUT: Layout = Layout::S8;
}

/// A value that is packed alone in its step, where those of its type otherwise keep together along K.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Single<T>(pub T);

impl Element for Single<half::bf16> {
    const LAYOUT: Layout = Layout::Bf16Single;
}
impl Element for Single<i8> {
    const LAYOUT: Layout = Layout::S8Single;
}

/// Packs an N×K matrix whose rows begin `stride` elements apart.
///
/// # Panics
/// If `src` is too short or `dst` is not of the packed length.
pub fn pack<T: Element>(src: &[T], n: usize, k: usize, stride: usize, dst: &mut [T]) {
    assert!(n == 0 || k == 0 || src.len() >= (n - 1) * stride + k, "source of {} for {n}x{k}", src.len());
    assert_eq!(T::LAYOUT.len(n, k), Some(dst.len()), "packed length of {n}x{k}");
    let group = const { T::LAYOUT.group() };
    let panel_len = k.div_ceil(group) * group * PANEL;
    if panel_len == 0 {
        return;
    }
    for (p, panel) in dst.chunks_exact_mut(panel_len).enumerate() {
        let rows = (n - p * PANEL).min(PANEL);
        if rows < PANEL || !k.is_multiple_of(group) {
            panel.fill(T::default());
        }
        for lane in 0..rows {
            let row = &src[(p * PANEL + lane) * stride..][..k];
            // The length of a group is known to the compiler, so that copying one is a move.
            let (whole, tail) = row.split_at(k - k % group);
            let mut steps = panel.chunks_exact_mut(PANEL * group);
            for (values, step) in whole.chunks_exact(group).zip(&mut steps) {
                step[lane * group..][..group].copy_from_slice(values);
            }
            if let Some(step) = steps.next() {
                step[lane * group..][..tail.len()].copy_from_slice(tail);
            }
        }
    }
}

/// Packs the transpose: `src` is K×N, as the values of attention come. Only for layouts of one value a step.
///
/// # Panics
/// If `src` is too short, `dst` is not of the packed length, or the layout groups along K.
pub fn pack_transposed<T: Element>(src: &[T], n: usize, k: usize, stride: usize, dst: &mut [T]) {
    assert!(n == 0 || k == 0 || src.len() >= (k - 1) * stride + n, "source of {} for {k}x{n}", src.len());
    assert_eq!(T::LAYOUT.len(n, k), Some(dst.len()), "packed length of {n}x{k}");
    assert_eq!(T::LAYOUT.group(), 1, "{} groups along k", T::LAYOUT.id());
    if k == 0 {
        return;
    }
    for (p, panel) in dst.chunks_exact_mut(k * PANEL).enumerate() {
        let columns = (n - p * PANEL).min(PANEL);
        for (s, step) in panel.chunks_exact_mut(PANEL).enumerate() {
            let from = &src[s * stride + p * PANEL..];
            // A whole step is of a length that the compiler knows.
            if columns == PANEL {
                step.copy_from_slice(&from[..PANEL]);
            } else {
                step[..columns].copy_from_slice(&from[..columns]);
                step[columns..].fill(T::default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs<T: Element + PartialEq + std::fmt::Debug>(value: impl Fn(usize) -> T) {
        for (n, k) in [(0, 3), (3, 0), (1, 1), (15, 3), (16, 4), (17, 5), (33, 9)] {
            let stride = k + 2;
            let src: Vec<T> = (0..n * stride).map(&value).collect();
            let mut dst = vec![value(7); T::LAYOUT.len(n, k).unwrap()];
            pack(&src, n, k, stride, &mut dst);
            let packed = Packed::new(&dst, n, k).unwrap();
            for r in 0..n {
                for c in 0..k {
                    assert_eq!(packed.get(r, c), src[r * stride + c], "{n}x{k} at {r}, {c}");
                }
            }
            let padding = dst.iter().filter(|x| **x == T::default()).count();
            assert!(padding >= dst.len() - n * k, "{n}x{k}: padding is not zero");
        }
    }

    #[test]
    fn packing_keeps_every_element() {
        packs(|i| i as f32 + 1.0);
        packs(|i| (i % 100) as i8 + 1);
        packs(|i| half::bf16::from_f32(i as f32 + 1.0));
        packs(|i| half::f16::from_f32(i as f32 + 1.0));
        packs(|i| Single((i % 100) as i8 + 1));
        packs(|i| Single(half::bf16::from_f32(i as f32 + 1.0)));
    }

    #[test]
    fn packing_the_transpose_is_packing() {
        let (n, k) = (19, 5);
        let src: Vec<f32> = (0..n * k).map(|i| i as f32).collect();
        let transposed: Vec<f32> = (0..n * k).map(|i| src[(i % n) * k + i / n]).collect();
        let len = Layout::F32.len(n, k).unwrap();
        let (mut a, mut b) = (vec![1.0; len], vec![2.0; len]);
        pack(&src, n, k, k, &mut a);
        pack_transposed(&transposed, n, k, n, &mut b);
        assert_eq!(a, b);
    }

    #[test]
    fn ids_name_layouts() {
        for layout in Layout::ALL {
            assert_eq!(Layout::from_id(layout.id()), Some(layout));
        }
        assert_eq!(Layout::from_id("s4"), None);
        assert_eq!(Layout::S4(Group::Of32).len(17, 33), Some(32 * 32));
        assert_eq!(Layout::F32.len(usize::MAX, 2), None);
        assert_eq!(Layout::S8Sparse.len(16, 16), None);
    }
}
