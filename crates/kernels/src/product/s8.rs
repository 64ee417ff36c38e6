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

use tiny_vlm_simd::{Dot4, DotOp, Level, Tile};
use tiny_vlm_tensor::View;

use super::f32::check_shapes;
use super::sweep::sweep;
use super::{Block, Product, Steps};
use crate::epilogue::Epilogue;
use crate::layout::Packed;
use crate::lhs::{Lhs, Words};
use crate::output::OutMut;

/// Quantized activations: what each row's bytes stand for.
#[derive(Clone, Copy, Debug)]
pub struct Quantized<'a> {
    /// The bytes, with K rounded up to a multiple of what stays together in the weights' layout, and zeros there.
    pub lhs: Lhs<'a, u8>,
    /// The value of a step and the byte that stands for zero, for each row; of stride 0 where all have the same.
    pub params: View<'a, f32, 2>,
}

#[derive(Clone, Copy)]
struct S8<'a> {
    params: View<'a, f32, 2>,
    scales: &'a [f32],
    sums: &'a [f32],
}

impl<I: Dot4> Product<I> for S8<'_> {
    const STEP: usize = 64;
    const RESUMES: bool = false;

    #[inline(always)]
    fn tile() -> Tile {
        I::DOT_TILE
    }
    #[inline(always)]
    unsafe fn call<const MR: usize, const NV: usize>(self, isa: I, block: &Block) {
        isa.call_dot(Call::<MR, NV>(self, block));
    }
}

impl<I: Dot4> Steps<I> for S8<'_> {
    type Acc = I::I32;
    type B = I::I32;
    const CONVERTS: bool = true;

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
        unsafe { isa.load_i32(from.cast()) }
    }
    #[inline(always)]
    fn spread(self, isa: I, word: u32) -> I::I32 {
        isa.activations(isa.splat_i32(word as i32))
    }
    #[inline(always)]
    fn step(self, isa: I, acc: I::I32, a: I::I32, w: I::I32) -> I::I32 {
        isa.dot4(acc, a, w)
    }
    #[inline(always)]
    fn raw(self, isa: I, acc: I::I32) -> I::F32 {
        isa.float(acc)
    }
    #[inline(always)]
    unsafe fn result(self, isa: I, raw: I::F32, row: usize, channel: usize) -> I::F32 {
        // SAFETY: the tables were checked to cover every row, and every channel to the end of its panel.
        unsafe {
            let params = self.params.as_ptr().add(row * self.params.strides()[0]);
            let (scale, zero) = (isa.splat(*params), isa.splat(*params.add(1)));
            let sums = isa.load(self.sums.as_ptr().add(channel));
            let scales = isa.load(self.scales.as_ptr().add(channel));
            let mut sum = isa.bits(raw);
            if I::OFFSET != 0 {
                // Whole numbers below 2²⁴. Beyond 2²² a conversion need not be exact, but that of a level with an
                // offset is.
                let left_out = isa.mul_i32(isa.splat_i32(I::OFFSET), isa.to_i32(sums));
                sum = isa.add_i32(sum, left_out);
            }
            isa.mul(isa.fnma(zero, sums, isa.to_f32(sum)), isa.mul(scale, scales))
        }
    }
}

struct Call<'a, const MR: usize, const NV: usize>(S8<'a>, &'a Block);

impl<const MR: usize, const NV: usize> DotOp for Call<'_, MR, NV> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) {
        // SAFETY: made by `Product::call`, whose caller promises the same.
        unsafe { self.1.run::<I, S8<'_>, MR, NV>(isa, self.0) }
    }
}

struct Gemm<'a, 'b> {
    lhs: Words,
    product: S8<'b>,
    weights: Packed<'a, i8>,
    epilogue: &'b Epilogue<'a>,
    out: OutMut<'b>,
}

impl DotOp for Gemm<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) {
        let (w, steps) = (self.weights.data().as_ptr().cast(), self.weights.steps());
        // SAFETY: `gemm_s8` checked rows, columns, K and the tables against one another.
        unsafe { sweep(isa, self.product, &self.lhs, w, steps, self.epilogue, self.out) }
    }
}

/// The name of the kernel that a level takes.
pub fn s8_kernel(level: Level) -> String {
    struct Name;
    impl DotOp for Name {
        type Output = String;
        #[inline(always)]
        fn eval<I: Dot4>(self, _: I) -> String {
            let (tile, bits) = (I::DOT_TILE, if I::ACTIVATION_MAX == 255 { 8 } else { 7 });
            format!("{}-u{bits}s8f32-{}x{}", I::DOT_NAME, tile.rows, tile.accumulators / tile.rows * 16)
        }
    }
    level.run_dot(Name)
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
    let (n, k) = (weights.n(), weights.k());
    check_shapes(x.lhs.rows(), x.lhs.columns(), n, k.next_multiple_of(4), &out);
    let rows = x.lhs.rows();
    assert!(
        x.params.shape()[0] >= rows && x.params.shape()[1] == 2,
        "scale and zero for each of {rows} rows"
    );
    let padded = n.next_multiple_of(crate::layout::PANEL);
    assert!(
        scales.len() >= padded && sums.len() >= padded,
        "a scale and a sum for each of {padded} channels"
    );
    let product = S8 { params: x.params, scales, sums };
    level.run_dot(Gemm { lhs: x.lhs.words(), product, weights, epilogue, out });
}
