//! u8 activations by s8 weights.
//!
//! Weights are symmetric per output channel, `w = scale · q` with `|q| <= 127`. Activations are quantized per
//! row as they come, asymmetrically: `x = scale · (q − zero)` with `q` in 0..=255, or in 0..=127 at the levels
//! whose dot product needs that ([`Level::activation_max`]). So
//!
//! `Σ x·w = scaleₓ · scaleᵥ · (Σ qₓ·qᵥ − zero · Σ qᵥ)`,
//!
//! where the first sum is exact in 32 bits for K up to 66 000 and the last, one number a channel, is part of the
//! packed weights. For the same bytes every level gives the same bits.

use std::marker::PhantomData;

use tiny_vlm_simd::{Dot4, DotOp, Level, Tile};
use tiny_vlm_tensor::View;

use super::f32::check_shapes;
use super::sweep::{sweep, sweep_panels};
use super::walk::{Across, Dense, Kept, Walk, at_most, tile_name};
use super::{Block, Product, Steps, row_panels};
use crate::epilogue::{Convert, Epilogue, Finish};
use crate::layout::Packed;
use crate::lhs::{Lhs, Words};
use crate::output::OutMut;
use crate::panels::Panels;
use crate::sparse::{BLOCK, Sparse};

/// Quantized activations: what each row's bytes stand for.
#[derive(Clone, Copy, Debug)]
pub struct Quantized<'a> {
    /// The bytes, with K rounded up to a multiple of what stays together in the weights' layout, and zeros there.
    pub lhs: Lhs<'a, u8>,
    /// The value of a step and the byte that stands for zero, for each row; of stride 0 where all have the same.
    pub params: View<'a, f32, 2>,
}

#[derive(Clone, Copy)]
struct S8<'a, W> {
    walk: W,
    dequantize: Dequantize<'a>,
}

/// What sums of bytes stand for.
#[derive(Clone, Copy)]
struct Dequantize<'a> {
    params: View<'a, f32, 2>,
    scales: &'a [f32],
    sums: &'a [f32],
}

impl<I: Dot4> Convert<I> for Dequantize<'_> {
    /// Scales, sums of bytes, and what the instruction's offset leaves out of the sums.
    type Channels = (I::F32, I::F32, I::I32);

    #[inline(always)]
    unsafe fn channels(self, isa: I, channel: usize) -> Self::Channels {
        // SAFETY: the tables were checked to cover every channel to the end of its panel.
        let (scales, sums) = unsafe {
            (isa.load(self.scales.as_ptr().add(channel)), isa.load(self.sums.as_ptr().add(channel)))
        };
        // Whole numbers below 2²⁴. Beyond 2²² a conversion need not be exact, but that of a level with an offset is.
        let left_out = if I::OFFSET == 0 {
            isa.splat_i32(0)
        } else {
            isa.mul_i32(isa.splat_i32(I::OFFSET), isa.to_i32(sums))
        };
        (scales, sums, left_out)
    }

    #[inline(always)]
    unsafe fn value(self, isa: I, raw: I::F32, row: usize, channels: Self::Channels) -> I::F32 {
        let (scales, sums, left_out) = channels;
        // SAFETY: the table was checked to cover every row.
        let (scale, zero) = unsafe {
            let params = self.params.as_ptr().add(row * self.params.strides()[0]);
            (isa.splat(*params), isa.splat(*params.add(1)))
        };
        let mut sum = isa.bits(raw);
        if I::OFFSET != 0 {
            sum = isa.add_i32(sum, left_out);
        }
        isa.mul(isa.fnma(zero, sums, isa.to_f32(sum)), isa.mul(scale, scales))
    }
}

struct FinishBytes<'a, 'b, 'c>(Finish<'a, 'b>, Dequantize<'c>);

impl DotOp for FinishBytes<'_, '_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) {
        // SAFETY: made by `Product::finish`, whose caller promises the same.
        unsafe { self.0.run(isa, self.1) }
    }
}

impl<I: Dot4, W: Walk> Product<I> for S8<'_, W> {
    const STEP: usize = 64;
    const RESUMES: bool = false;
    const TILE: Tile = at_most::<W>(I::DOT_TILE);
    const ROW_PANELS: usize = row_panels(at_most::<W>(I::DOT_TILE), 8);
    const CONVERTS: bool = true;

    #[inline(always)]
    unsafe fn call<const MR: usize, const NV: usize>(self, isa: I, block: &Block) {
        isa.call_dot(Call::<W, MR, NV>(self, block));
    }

    #[inline(always)]
    unsafe fn finish(self, isa: I, finish: Finish<'_, '_>) {
        isa.call_dot(FinishBytes(finish, self.dequantize));
    }
}

impl<I: Dot4, W: Walk> Steps<I> for S8<'_, W> {
    type Acc = I::I32;
    type B = I::I32;

    #[inline(always)]
    fn zero(self, isa: I) -> I::I32 {
        isa.splat_i32(0)
    }
    #[inline(always)]
    unsafe fn resume(self, isa: I, _: *const f32, _: usize) -> I::I32 {
        isa.splat_i32(0)
    }
    #[inline(always)]
    unsafe fn weights(self, isa: I, from: *const u8) -> I::I32 {
        // SAFETY: the caller's promise.
        let vector = unsafe { isa.load_i32(from.cast()) };
        if W::TURNED { isa.activations(vector) } else { vector }
    }
    #[inline(always)]
    fn spread(self, isa: I, word: u32) -> I::I32 {
        let word = isa.splat_i32(word as i32);
        if W::TURNED { word } else { isa.activations(word) }
    }
    #[inline(always)]
    fn step(self, isa: I, acc: I::I32, word: I::I32, vector: I::I32) -> I::I32 {
        if W::TURNED { isa.dot4(acc, vector, word) } else { isa.dot4(acc, word, vector) }
    }
    #[inline(always)]
    fn raw(self, isa: I, acc: I::I32) -> I::F32 {
        isa.float(acc)
    }
}

struct Call<'a, W, const MR: usize, const NV: usize>(S8<'a, W>, &'a Block);

impl<W: Walk, const MR: usize, const NV: usize> DotOp for Call<'_, W, MR, NV> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) {
        // SAFETY: made by `Product::call`, whose caller promises the same.
        unsafe { self.1.run::<I, S8<'_, W>, W, MR, NV>(isa, self.0, self.0.walk) }
    }
}

struct Gemm<'a, 'b, W> {
    lhs: Words,
    product: S8<'b, W>,
    weights: &'a [i8],
    /// Steps of a panel, where all have as many.
    steps: usize,
    epilogue: &'b Epilogue<'a>,
    out: OutMut<'b>,
}

impl<W: Walk> DotOp for Gemm<'_, '_, W> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) {
        let weights = self.weights.as_ptr().cast();
        // SAFETY: who made it checked rows, columns, K and the tables against one another.
        unsafe { sweep(isa, self.product, &self.lhs, weights, self.steps, self.epilogue, self.out) }
    }
}

/// The name of the kernel that a level takes.
pub fn s8_kernel(level: Level) -> String {
    level.run_dot(Name::<Dense>(PhantomData))
}

/// The name of the kernel that a level takes for sparse weights.
pub fn sparse_s8_kernel(level: Level) -> String {
    level.run_dot(Name::<Across<'_, { BLOCK / 4 }>>(PhantomData))
}

struct Name<W>(PhantomData<W>);

impl<W: Walk> DotOp for Name<W> {
    type Output = String;
    #[inline(always)]
    fn eval<I: Dot4>(self, _: I) -> String {
        let bits = if I::ACTIVATION_MAX == 255 { 8 } else { 7 };
        format!("{}-u{bits}s8f32-{}", I::DOT_NAME, tile_name::<W>(I::DOT_TILE))
    }
}

/// Computes a rectangle of `epilogue(lhs · weightsᵀ)` in integers.
///
/// `scales` and `sums` hold the channels' scales and the sums of their bytes, padded to whole panels.
///
/// # Panics
/// If the shapes do not fit one another, or the rectangle does not begin with a panel.
pub fn gemm_s8<'a>(
    level: Level,
    x: &Quantized<'_>,
    weights: Packed<'a, i8>,
    scales: &[f32],
    sums: &[f32],
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    let k = weights.k().next_multiple_of(4);
    check_shapes(x.lhs.rows(), x.lhs.columns(), weights.n(), k, &out);
    let product = product(Dense, [x.lhs.rows(), weights.n()], x.params, scales, sums);
    let (lhs, steps) = (x.lhs.words(), weights.steps());
    level.run_dot(Gemm { lhs, product, weights: weights.data(), steps, epilogue, out });
}

/// As [`gemm_s8`], without the blocks that are left out.
///
/// # Panics
/// If the shapes do not fit one another, the activations are of several runs, or the rectangle does not begin with a
/// panel.
pub fn gemm_s8_sparse<'a>(
    level: Level,
    x: &Quantized<'_>,
    weights: Sparse<'a, i8>,
    scales: &[f32],
    sums: &[f32],
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    let pattern = weights.pattern();
    let walk = Kept::<{ BLOCK / 4 }>(pattern);
    let k = pattern.k().next_multiple_of(4);
    check_shapes(x.lhs.rows(), x.lhs.columns(), pattern.n(), k, &out);
    let product = product(walk, [x.lhs.rows(), pattern.n()], x.params, scales, sums);
    let lhs = x.lhs.words();
    assert!(lhs.runs == 1, "sparse weights by activations of {} runs", lhs.runs);
    level.run_dot(Gemm { lhs, product, weights: weights.blocks(), steps: 0, epilogue, out });
}

/// As [`gemm_s8_sparse`], for rows in panels, four bytes a word: the same bits, faster where they are more than a few.
///
/// # Panics
/// If the shapes do not fit one another, or the rectangle does not begin with a panel of either side.
#[expect(
    clippy::too_many_arguments,
    reason = "those of `gemm_s8_sparse`, with the rows apart from their parameters"
)]
pub fn gemm_s8_sparse_panels<'a>(
    level: Level,
    x: Panels<'_>,
    params: View<'_, f32, 2>,
    weights: Sparse<'a, i8>,
    scales: &[f32],
    sums: &[f32],
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    let pattern = weights.pattern();
    check_shapes(x.rows(), x.columns(), pattern.n(), pattern.k().div_ceil(4), &out);
    let walk = Across::<{ BLOCK / 4 }> { pattern, blocks: weights.blocks().as_ptr().cast() };
    let product = product(walk, [x.rows(), pattern.n()], params, scales, sums);
    level.run_dot(GemmPanels { x, product, epilogue, out });
}

struct GemmPanels<'a, 'b> {
    x: Panels<'b>,
    product: S8<'b, Across<'a, { BLOCK / 4 }>>,
    epilogue: &'b Epilogue<'a>,
    out: OutMut<'b>,
}

impl DotOp for GemmPanels<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) {
        let weight_bytes = self.product.walk.panel_bytes();
        // SAFETY: who made it checked rows, columns, K and the tables against one another.
        unsafe { sweep_panels(isa, self.product, self.x, weight_bytes, self.epilogue, self.out) }
    }
}

/// Checks that the tables of a product cover rows and channels.
fn product<'a, W: Walk>(
    walk: W,
    [rows, n]: [usize; 2],
    params: View<'a, f32, 2>,
    scales: &'a [f32],
    sums: &'a [f32],
) -> S8<'a, W> {
    assert!(params.shape()[0] >= rows && params.shape()[1] == 2, "scale and zero for each of {rows} rows");
    let padded = n.next_multiple_of(crate::layout::PANEL);
    assert!(
        scales.len() >= padded && sums.len() >= padded,
        "a scale and a sum for each of {padded} channels"
    );
    S8 { walk, dequantize: Dequantize { params, scales, sums } }
}
