//! What is done to a product before it is written: `residual + scale · (act(sum + bias) ∘ gate)`, rectified or not.

use std::ops::Range;
use std::ptr::null;

use tiny_vlm_simd::{Isa, LANES, Op};
use tiny_vlm_tensor::View;

use crate::math;
use crate::output::OutMut;

/// The function between two linear maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `x·Φ(x)`, exact (by the error function) to 1e-6.
    Gelu,
    /// The hyperbolic-tangent approximation of GELU.
    GeluTanh,
    /// `x·sigmoid(x)`
    Silu,
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
    /// `x·relu6(x + 3) / 6`
    HardSwish,
}

/// What is added at the end.
#[derive(Clone, Copy, Debug, Default)]
pub enum Residual<'a> {
    /// Nothing.
    #[default]
    None,
    /// A matrix of the output's shape.
    Add(View<'a, f32, 2>),
    /// What the output held before: `x += f(x)`.
    Output,
}

/// What is done to a product before it is written: `residual + scale · (act(sum + bias) ∘ gate)`.
///
/// ```
/// use tiny_vlm_kernels::{Activation, Epilogue};
///
/// let bias = [0.5, -0.5];
/// let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Gelu, ..Epilogue::default() };
/// assert!(epilogue.fits(7, 2).is_ok());
/// assert_eq!(epilogue.fits(7, 3).unwrap_err(), "bias of 2 for an output of 7x3");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to each column.
    pub bias: Option<&'a [f32]>,
    /// Applied to the sum.
    pub activation: Activation,
    /// Whether the activation is multiplied by what the output held before (gated units).
    pub gated: bool,
    /// A factor for each column (layer scale).
    pub scale: Option<&'a [f32]>,
    /// Added last.
    pub residual: Residual<'a>,
    /// Whether what is negative after all that becomes zero: the activation behind a residual.
    pub rectify: bool,
}

impl<'a> Epilogue<'a> {
    /// Nothing but a bias.
    pub fn bias(bias: &'a [f32]) -> Self {
        Epilogue { bias: Some(bias), ..Epilogue::default() }
    }

    /// The same for these rows of the output as a matrix of their own.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Epilogue {
            residual: match self.residual {
                Residual::Add(m) => Residual::Add(m.slice(0, rows)),
                other => other,
            },
            ..*self
        }
    }

    /// Whether each part fits an output of this shape; if not, the words that say which does not.
    pub fn fits(&self, rows: usize, columns: usize) -> Result<(), String> {
        let vector = |name: &str, v: Option<&[f32]>| match v {
            Some(v) if v.len() != columns => {
                Err(format!("{name} of {} for an output of {rows}x{columns}", v.len()))
            }
            _ => Ok(()),
        };
        vector("bias", self.bias)?;
        vector("scale", self.scale)?;
        match self.residual {
            Residual::Add(m) if m.shape() != [rows, columns] => {
                let [r, c] = m.shape();
                Err(format!("residual of {r}x{c} for an output of {rows}x{columns}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the sum is written as it is.
    pub(crate) fn is_nothing(&self) -> bool {
        self.bias.is_none()
            && self.activation == Activation::None
            && !self.gated
            && self.scale.is_none()
            && matches!(self.residual, Residual::None)
            && !self.rectify
    }
}

pub(crate) trait Function: Copy {
    fn apply<I: Isa>(self, isa: I, x: I::F32) -> I::F32;
}

macro_rules! functions {
    ($($name:ident: |$isa:ident, $x:ident| $body:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            pub(crate) struct $name;
            impl Function for $name {
                #[inline(always)]
                fn apply<I: Isa>(self, $isa: I, $x: I::F32) -> I::F32 {
                    $body
                }
            }
        )*
    };
}

functions! {
    Identity: |_isa, x| x;
    Relu: |isa, x| isa.max(isa.splat(0.0), x);
    Gelu: |isa, x| math::gelu(isa, x);
    GeluTanh: |isa, x| math::gelu_tanh(isa, x);
    Silu: |isa, x| math::silu(isa, x);
    Sigmoid: |isa, x| math::sigmoid(isa, x);
    HardSwish: |isa, x| {
        let inner = isa.max(isa.splat(0.0), isa.add(x, isa.splat(3.0)));
        isa.mul(isa.mul(x, isa.splat(1.0 / 6.0)), isa.min(isa.splat(6.0), inner))
    };
}

/// Runs `$body` with `$f` the function of an activation.
macro_rules! with_function {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            Activation::None => {
                let $f = crate::epilogue::Identity;
                $body
            }
            Activation::Relu => {
                let $f = crate::epilogue::Relu;
                $body
            }
            Activation::Gelu => {
                let $f = crate::epilogue::Gelu;
                $body
            }
            Activation::GeluTanh => {
                let $f = crate::epilogue::GeluTanh;
                $body
            }
            Activation::Silu => {
                let $f = crate::epilogue::Silu;
                $body
            }
            Activation::Sigmoid => {
                let $f = crate::epilogue::Sigmoid;
                $body
            }
            Activation::HardSwish => {
                let $f = crate::epilogue::HardSwish;
                $body
            }
        }
    };
}

pub(crate) use with_function;

/// Takes sums from a buffer through the epilogue to the output.
pub(crate) struct Finish<'a, 'b> {
    /// The sums: `rows` rows, `from_stride` apart, whole vectors readable.
    pub(crate) from: *const f32,
    pub(crate) from_stride: usize,
    /// Where they go; only `columns` are written.
    pub(crate) to: *mut f32,
    pub(crate) to_stride: usize,
    /// The place of the first in the whole output.
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) epilogue: &'b Epilogue<'a>,
}

/// How a product's sums become values.
pub(crate) trait Convert<I: Isa>: Copy {
    /// What all values of 16 channels need.
    type Channels: Copy;

    /// What the values of the 16 channels from `channel` on need.
    ///
    /// # Safety
    /// The product must have them, the last panel filled up.
    unsafe fn channels(self, isa: I, channel: usize) -> Self::Channels;

    /// The values of a row's sums.
    ///
    /// # Safety
    /// The product must have the row.
    unsafe fn value(self, isa: I, sums: I::F32, row: usize, channels: Self::Channels) -> I::F32;
}

/// Sums that are values already.
#[derive(Clone, Copy)]
pub(crate) struct AsTheyAre;

impl<I: Isa> Convert<I> for AsTheyAre {
    type Channels = ();

    #[inline(always)]
    unsafe fn channels(self, _: I, _: usize) {}

    #[inline(always)]
    unsafe fn value(self, _: I, sums: I::F32, _: usize, (): ()) -> I::F32 {
        sums
    }
}

impl Op for Finish<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        // SAFETY: every row and channel will do.
        unsafe { self.run(isa, AsTheyAre) }
    }
}

impl Finish<'_, '_> {
    /// Converts the sums and takes them through the epilogue.
    ///
    /// # Safety
    /// What converts them must have the rows and channels that they are of.
    #[inline(always)]
    pub(crate) unsafe fn run<I: Isa, C: Convert<I>>(&self, isa: I, convert: C) {
        // SAFETY: the caller's promise.
        with_function!(self.epilogue.activation, f => unsafe { self.each(isa, convert, f) })
    }

    /// # Safety
    /// As [`run`](Self::run).
    #[inline(always)]
    unsafe fn each<I: Isa, C: Convert<I>, F: Function>(&self, isa: I, convert: C, f: F) {
        for c in (0..self.columns).step_by(LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                if self.columns - c >= LANES {
                    self.column::<I, C, F, true>(isa, convert, f, c, LANES);
                } else {
                    self.column::<I, C, F, false>(isa, convert, f, c, self.columns - c);
                }
            }
        }
    }

    /// The rows of `n` columns from `c` on: a vector of them where `WHOLE`.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    #[inline(always)]
    unsafe fn column<I: Isa, C: Convert<I>, F: Function, const WHOLE: bool>(
        &self,
        isa: I,
        convert: C,
        f: F,
        c: usize,
        n: usize,
    ) {
        let ep = self.epilogue;
        let column = self.column + c;
        // SAFETY: whoever made this checked that the epilogue fits the whole output, of which the rows from `row` on and
        // `column .. column + n` are a part, and that buffer and output have these rows and columns; the caller promises
        // what converts them.
        unsafe {
            let channels = convert.channels(isa, column);
            // Adding −0 and multiplying by 1 change nothing, and take less time than asking.
            let bias = match ep.bias {
                Some(bias) => load::<I, WHOLE>(isa, bias.as_ptr().add(column), n),
                None => isa.splat(-0.0),
            };
            let scale = match ep.scale {
                Some(scale) => load::<I, WHOLE>(isa, scale.as_ptr().add(column), n),
                None => isa.splat(1.0),
            };
            let floor = isa.splat(if ep.rectify { 0.0 } else { f32::NEG_INFINITY });
            let (residual, residual_stride) = match ep.residual {
                Residual::None => (null(), 0),
                Residual::Add(m) => (m.as_ptr().add(self.row * m.strides()[0] + column), m.strides()[0]),
                Residual::Output => (self.to.add(c).cast_const(), self.to_stride),
            };
            for r in 0..self.rows {
                let sums = isa.load(self.from.add(r * self.from_stride + c));
                let x = convert.value(isa, sums, self.row + r, channels);
                let mut x = f.apply(isa, isa.add(x, bias));
                let to = self.to.add(r * self.to_stride + c);
                if ep.gated {
                    x = isa.mul(x, load::<I, WHOLE>(isa, to, n));
                }
                x = isa.mul(x, scale);
                if !residual.is_null() {
                    x = isa.add(load::<I, WHOLE>(isa, residual.add(r * residual_stride), n), x);
                }
                x = isa.max(floor, x);
                if WHOLE { isa.store(to, x) } else { isa.store_first(to, n, x) }
            }
        }
    }
}

/// Reads `n` values, and 16 where `WHOLE`.
///
/// # Safety
/// They must be there.
#[inline(always)]
unsafe fn load<I: Isa, const WHOLE: bool>(isa: I, from: *const f32, n: usize) -> I::F32 {
    // SAFETY: the caller's promise.
    unsafe { if WHOLE { isa.load(from) } else { isa.load_first(from, n) } }
}

/// Checks that an epilogue fits the whole output that a rectangle is part of.
///
/// # Panics
/// If it does not: operators check with [`Epilogue::fits`] before they come here.
pub(crate) fn check(epilogue: &Epilogue<'_>, out: &OutMut<'_>) {
    let reaches = |v: Option<&[f32]>| v.is_none_or(|v| v.len() >= out.columns().end);
    assert!(reaches(epilogue.bias) && reaches(epilogue.scale), "epilogue vector shorter than the output");
    if let Residual::Add(m) = &epilogue.residual {
        let covers = m.shape()[0] >= out.rows().end && m.shape()[1] >= out.columns().end;
        assert!(covers, "residual smaller than the output");
    }
}
