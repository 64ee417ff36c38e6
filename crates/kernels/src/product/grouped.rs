//! u8 activations by weights of four or two bits with a scale for each group.
//!
//! Codes become signed bytes in registers. Each group is summed exactly in integers and then added to the output's f32
//! sum with its scale:
//!
//! `Σ x·w = scaleₓ · (Σ_g scale_g · Σ qₓ·q  −  zero · Σ w)`,
//!
//! where the last sum, one number a channel, belongs to the packed weights. Four bits take their place in the upper half
//! of a byte, which makes them 16 times their value: a power of two that the end divides by. Where a group is summed in 16
//! bits ([`Dot4::SHORT_SUMS`]) they are looked up instead. A group's sum is below 2²⁴ and so exact as an f32, and groups are
//! added in order: for the same bytes every level with a fused multiply-add gives the same bits.

use tiny_vlm_simd::{Dot4, DotOp, Isa, Level, Op, Tile};
use tiny_vlm_tensor::View;

use super::f32::check_shapes;
use super::s8::Quantized;
use super::sweep::sweep;
use super::{Block, Product, row_panels};
use crate::epilogue::{Convert, Epilogue, Finish};
use crate::grouped::Grouped;
use crate::layout::{Layout, PANEL};
use crate::lhs::Words;
use crate::output::OutMut;

/// Codes of `8 / PLANES` bits.
#[derive(Clone, Copy)]
struct Codes<'a, const PLANES: usize> {
    params: View<'a, f32, 2>,
    scales: *const u16,
    /// Groups of a channel.
    groups: usize,
    /// Words of a group.
    words: usize,
    sums: &'a [f32],
}

impl<const PLANES: usize, I: Dot4> Product<I> for Codes<'_, PLANES> {
    const STEP: usize = 64 / PLANES;
    const RESUMES: bool = false;
    const TILE: Tile = tile::<I>();
    const ROW_PANELS: usize = row_panels(tile::<I>(), 8);
    const CONVERTS: bool = true;

    #[inline(always)]
    unsafe fn call<const MR: usize, const NV: usize>(self, isa: I, block: &Block) {
        isa.call_dot(Call::<PLANES, MR, NV>(self, block));
    }

    #[inline(always)]
    unsafe fn finish(self, isa: I, finish: Finish<'_, '_>) {
        let unit = if PLANES == 2 && !I::SHORT_SUMS { 1.0 / 16.0 } else { 1.0 };
        isa.call(FinishGroups(finish, Rescale { params: self.params, sums: self.sums, unit }));
    }
}

/// What sums of groups stand for.
#[derive(Clone, Copy)]
struct Rescale<'a> {
    params: View<'a, f32, 2>,
    sums: &'a [f32],
    /// What a code of one became.
    unit: f32,
}

impl<I: Isa> Convert<I> for Rescale<'_> {
    type Channels = I::F32;

    #[inline(always)]
    unsafe fn channels(self, isa: I, channel: usize) -> I::F32 {
        // SAFETY: the table was checked to cover every channel to the end of its panel.
        unsafe { isa.load(self.sums.as_ptr().add(channel)) }
    }

    #[inline(always)]
    unsafe fn value(self, isa: I, sum: I::F32, row: usize, sums: I::F32) -> I::F32 {
        // SAFETY: the table was checked to cover every row.
        let (scale, zero) = unsafe {
            let params = self.params.as_ptr().add(row * self.params.strides()[0]);
            (isa.splat(*params), isa.splat(*params.add(1)))
        };
        isa.mul(isa.fnma(zero, sums, isa.mul(sum, isa.splat(self.unit))), scale)
    }
}

struct FinishGroups<'a, 'b, 'c>(Finish<'a, 'b>, Rescale<'c>);

impl Op for FinishGroups<'_, '_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        // SAFETY: made by `Product::finish`, whose caller promises the same.
        unsafe { self.0.run(isa, self.1) }
    }
}

/// Half of the tile for bytes, where that is large: sums in integers and in floats share the registers.
const fn tile<I: Dot4>() -> Tile {
    let tile = I::DOT_TILE;
    if tile.accumulators < 24 {
        tile
    } else {
        Tile { rows: tile.rows / 2, accumulators: tile.accumulators / 2 }
    }
}

struct Call<'a, const PLANES: usize, const MR: usize, const NV: usize>(Codes<'a, PLANES>, &'a Block);

impl<const PLANES: usize, const MR: usize, const NV: usize> DotOp for Call<'_, PLANES, MR, NV> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) {
        // SAFETY: made by `Product::call`, whose caller promises the same.
        unsafe { run::<I, PLANES, MR, NV>(isa, self.0, self.1) }
    }
}

/// The bytes of one step, from the vector that holds `PLANES` of them.
#[inline(always)]
fn unpack<I: Dot4, const PLANES: usize>(isa: I, codes: I::I32, plane: usize) -> I::I32 {
    const NIBBLES: [i8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1];
    const FIRST: [i8; 16] = [-3, -1, 1, 3, -3, -1, 1, 3, -3, -1, 1, 3, -3, -1, 1, 3];
    const SECOND: [i8; 16] = [-3, -3, -3, -3, -1, -1, -1, -1, 1, 1, 1, 1, 3, 3, 3, 3];
    if PLANES == 2 && I::SHORT_SUMS {
        let lower = isa.splat_i32(0x0f0f_0f0f);
        isa.lookup(&NIBBLES, isa.and(if plane == 0 { codes } else { isa.shr::<4>(codes) }, lower))
    } else if PLANES == 2 {
        let upper = isa.splat_i32(0xf0f0_f0f0_u32 as i32);
        isa.and(if plane == 0 { isa.shl::<4>(codes) } else { codes }, upper)
    } else {
        let lower = isa.splat_i32(0x0f0f_0f0f);
        let pairs = isa.and(if plane < 2 { codes } else { isa.shr::<4>(codes) }, lower);
        isa.lookup(if plane.is_multiple_of(2) { &FIRST } else { &SECOND }, pairs)
    }
}

/// A word of activations in every lane.
///
/// # Safety
/// It must be readable, at any alignment.
#[inline(always)]
unsafe fn word<I: Dot4>(isa: I, at: *const u32) -> I::I32 {
    // SAFETY: the caller's promise.
    isa.activations(isa.splat_i32(unsafe { at.read_unaligned() } as i32))
}

/// Computes a tile.
///
/// # Safety
/// As [`Block::run`], with runs of whole groups; `codes.scales` must have every group of every panel.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "a register tile is indexed by row and vector")]
unsafe fn run<I: Dot4, const PLANES: usize, const MR: usize, const NV: usize>(
    isa: I,
    codes: Codes<'_, PLANES>,
    block: &Block,
) {
    let mut acc = [[isa.splat(0.0); NV]; MR];
    let panel = codes.groups * PANEL;
    let mut weights = block.weights;
    let mut scales = codes.scales.wrapping_add(block.channel / PANEL * panel);
    for run in 0..block.runs {
        let mut rows = [std::ptr::null::<u32>(); MR];
        for i in 0..MR {
            // SAFETY: the caller promises this run of the row.
            rows[i] = unsafe { block.rows.get(i).add(run * block.run_step).cast() };
        }
        let mut k = 0;
        while k < block.run_len {
            let mut sum = [[isa.splat_i32(0); NV]; MR];
            // What activations of 0 give, where that is something: the instruction's offset times the weights.
            let mut offset = [isa.splat_i32(0); NV];
            for _ in 0..codes.words / PLANES {
                // SAFETY: the caller promises `run_len` words of each row's run, at any alignment, which are whole
                // groups, and a vector of each panel for every `PLANES` words.
                unsafe {
                    if MR == 1 {
                        // Panel by panel: fewer codes wait in registers.
                        let mut a = [isa.splat_i32(0); PLANES];
                        for plane in 0..PLANES {
                            a[plane] = word(isa, rows[0].add(k + plane));
                        }
                        for j in 0..NV {
                            let packed = isa.load_i32(weights.add(j * block.panel).cast());
                            for plane in 0..PLANES {
                                let w = unpack::<I, PLANES>(isa, packed, plane);
                                if I::OFFSET != 0 {
                                    offset[j] = isa.dot4(offset[j], isa.activations(isa.splat_i32(0)), w);
                                }
                                sum[0][j] = isa.dot4_short(sum[0][j], a[plane], w);
                            }
                        }
                    } else {
                        let mut packed = [isa.load_i32(weights.cast()); NV];
                        for j in 1..NV {
                            packed[j] = isa.load_i32(weights.add(j * block.panel).cast());
                        }
                        for plane in 0..PLANES {
                            let mut w = packed;
                            for j in 0..NV {
                                w[j] = unpack::<I, PLANES>(isa, packed[j], plane);
                            }
                            if I::OFFSET != 0 {
                                for j in 0..NV {
                                    offset[j] = isa.dot4(offset[j], isa.activations(isa.splat_i32(0)), w[j]);
                                }
                            }
                            for i in 0..MR {
                                let a = word(isa, rows[i].add(k + plane));
                                for j in 0..NV {
                                    sum[i][j] = isa.dot4_short(sum[i][j], a, w[j]);
                                }
                            }
                        }
                    }
                    weights = weights.add(64);
                }
                k += PLANES;
            }
            for j in 0..NV {
                // SAFETY: the caller promises a scale of this group for each channel of the panel.
                let scale = unsafe { isa.load_f16(scales.add(j * panel)) };
                for i in 0..MR {
                    let sum = isa.sub_i32(isa.widen_short(sum[i][j]), offset[j]);
                    acc[i][j] = isa.fma(isa.to_f32(sum), scale, acc[i][j]);
                }
            }
            scales = scales.wrapping_add(PANEL);
        }
    }
    for i in 0..MR {
        for j in 0..NV {
            // SAFETY: the tile has this vector; the caller promises room for it in the output.
            unsafe { block.put::<I, NV>(isa, i, j, acc[i][j]) };
        }
    }
}

struct Gemm<'a, 'b, const PLANES: usize> {
    lhs: Words,
    product: Codes<'b, PLANES>,
    weights: Grouped<'a>,
    epilogue: &'b Epilogue<'a>,
    out: OutMut<'b>,
}

impl<const PLANES: usize> DotOp for Gemm<'_, '_, PLANES> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Dot4>(self, isa: I) {
        let steps = self.product.groups * self.product.words;
        // SAFETY: `gemm_grouped` checked rows, columns, K, runs and the tables against one another.
        unsafe {
            sweep(isa, self.product, &self.lhs, self.weights.codes().as_ptr(), steps, self.epilogue, self.out)
        }
    }
}

/// The name of the kernel that a level takes for a layout with groups.
pub fn grouped_kernel(level: Level, layout: Layout) -> String {
    struct Name(usize);
    impl DotOp for Name {
        type Output = String;
        #[inline(always)]
        fn eval<I: Dot4>(self, _: I) -> String {
            let (tile, bits) = (tile::<I>(), if I::ACTIVATION_MAX == 255 { 8 } else { 7 });
            let columns = tile.accumulators / tile.rows * 16;
            format!("{}-u{bits}s{}f32-{}x{columns}", I::DOT_NAME, self.0, tile.rows)
        }
    }
    level.run_dot(Name(8 / layout.planes()))
}

/// Computes a rectangle of `epilogue(lhs · weightsᵀ)` in integers within each group.
///
/// `sums` holds the sums of the channels' weights, padded to whole panels.
///
/// # Panics
/// If the shapes do not fit one another, a run of the activations is not of whole groups, or the rectangle does not begin
/// with a panel.
pub fn gemm_grouped<'a>(
    level: Level,
    x: &Quantized<'_>,
    weights: Grouped<'a>,
    sums: &[f32],
    epilogue: &Epilogue<'a>,
    out: OutMut<'_>,
) {
    let (n, k, group) = (weights.n(), weights.k(), weights.layout().group());
    check_shapes(x.lhs.rows(), x.lhs.columns(), n, k.next_multiple_of(group), &out);
    let (rows, lhs) = (x.lhs.rows(), x.lhs.words());
    assert!(
        (lhs.run_len * 4).is_multiple_of(group),
        "runs of {} bytes in groups of {group}",
        lhs.run_len * 4
    );
    assert!(
        x.params.shape()[0] >= rows && x.params.shape()[1] == 2,
        "scale and zero for each of {rows} rows"
    );
    let padded = n.next_multiple_of(PANEL);
    assert!(sums.len() >= padded, "a sum for each of {padded} channels");
    let (groups, words) = (weights.groups(), group / 4);
    let (params, scales) = (x.params, weights.scales().as_ptr().cast());
    if let Layout::S4(_) = weights.layout() {
        let product = Codes::<2> { params, scales, groups, words, sums };
        level.run_dot(Gemm { lhs, product, weights, epilogue, out });
    } else {
        let product = Codes::<4> { params, scales, groups, words, sums };
        level.run_dot(Gemm { lhs, product, weights, epilogue, out });
    }
}
