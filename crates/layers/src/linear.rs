//! A linear map of rows: `x · Wᵀ + b`.

use tiny_vlm_kernels::Epilogue;
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_quant::{Map, Matrix, Prepared, matmul, matmul_each};
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

use crate::LayerError;

/// `x · Wᵀ + b`, with the weights packed in whatever precision they were loaded in.
#[derive(Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Option<AlignedVec<f32>>,
}

impl Linear {
    /// Reads `weight` of `outputs` by `inputs`, and `bias` if there is to be one, below `scope`.
    pub fn load(scope: &Scope<'_>, inputs: usize, outputs: usize, bias: bool) -> Self {
        let weight = scope.matrix("weight", outputs, inputs);
        let bias = bias.then(|| scope.vector("bias", outputs));
        Self { weight, bias }
    }

    /// A map of these weights; a bias has one element a row of them.
    pub fn new(weight: Matrix, bias: Option<AlignedVec<f32>>) -> Result<Self, LayerError> {
        if let Some(bias) = &bias {
            LayerError::expect_shape("bias", [weight.rows()], [bias.len()])?;
        }
        Ok(Self { weight, bias })
    }

    /// A map of these weights alone.
    pub fn without_bias(weight: Matrix) -> Self {
        Self { weight, bias: None }
    }

    /// How many values a row has that goes in.
    pub fn inputs(&self) -> usize {
        self.weight.cols()
    }

    /// How many values a row has that comes out.
    pub fn outputs(&self) -> usize {
        self.weight.rows()
    }

    /// The weights.
    pub fn weight(&self) -> &Matrix {
        &self.weight
    }

    /// Writes the map of each row of `x` to `out`.
    pub fn forward(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        self.forward_with(ctx, x, Epilogue::default(), out)
    }

    /// As [`forward`](Self::forward), with an activation, a gate, a scale or a residual taken along; its bias is
    /// the layer's.
    pub fn forward_with(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        epilogue: Epilogue<'_>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        Ok(matmul(ctx, x, &self.weight, &self.epilogue(epilogue), out)?)
    }

    /// An epilogue with the map's bias.
    pub(crate) fn epilogue<'a>(&'a self, epilogue: Epilogue<'a>) -> Epilogue<'a> {
        Epilogue { bias: self.bias.as_deref(), ..epilogue }
    }

    /// The map as a part of a feed-forward layer.
    pub(crate) fn map<'a>(&'a self, epilogue: Epilogue<'a>) -> Map<'a> {
        (&self.weight, self.epilogue(epilogue))
    }
}

/// A factor for each of `columns` columns; nothing where it would change nothing.
pub(crate) fn factors(columns: usize, factor: f32) -> Result<Option<AlignedVec<f32>>, LayerError> {
    if factor == 1.0 {
        return Ok(None);
    }
    let mut factors = AlignedVec::try_zeroed(columns)?;
    factors.fill(factor);
    Ok(Some(factors))
}

/// Rows that several maps take, brought into the form they need once where that is one form.
pub(crate) struct SharedInput<'a> {
    x: View<'a, f32, 2>,
    prepared: Option<Prepared<'a>>,
}

impl<'a> SharedInput<'a> {
    pub(crate) fn new<const N: usize>(ctx: &Context<'a>, x: View<'a, f32, 2>, maps: [&Linear; N]) -> Self {
        let alike = maps.windows(2).all(|pair| pair[1].weight.takes_as(&pair[0].weight));
        let prepared = maps.first().filter(|_| alike).map(|map| Prepared::new(ctx, x, &map.weight));
        Self { x, prepared }
    }

    /// Writes what each map makes of the rows to its output; epilogues as in [`Linear::forward_with`].
    pub(crate) fn forward<const N: usize>(
        &self,
        ctx: &Context<'_>,
        maps: [(&Linear, Epilogue<'_>, ViewMut<'_, f32, 2>); N],
    ) -> Result<(), LayerError> {
        let Some(prepared) = &self.prepared else {
            return maps
                .into_iter()
                .try_for_each(|(map, epilogue, out)| map.forward_with(ctx, self.x, epilogue, out));
        };
        let products = maps.map(|(map, epilogue, out)| (&map.weight, map.epilogue(epilogue), out));
        Ok(matmul_each(ctx, prepared, products)?)
    }
}
