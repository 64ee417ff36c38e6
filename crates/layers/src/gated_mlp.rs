//! The gated feed-forward layer (Shazeer, 2020, arXiv:2002.05202): `down(act(gate(x)) ∘ up(x))`.

use tiny_vlm_kernels::{Activation, Epilogue, Residual};
use tiny_vlm_memory::AlignedVec;
use tiny_vlm_quant::feed_forward;
use tiny_vlm_tensor::{Context, View, ViewMut};

use crate::{LayerError, Linear, linear::factors};

/// `down(act(gate(x)) ∘ up(x))`; with SiLU it is SwiGLU.
#[derive(Debug)]
pub struct GatedMlp {
    gate: Linear,
    up: Linear,
    down: Linear,
    activation: Activation,
    /// Factors of the output, column by column, where they are not 1.
    output_scale: Option<AlignedVec<f32>>,
}

impl GatedMlp {
    /// A layer of these maps; `gate` and `up` make what `down` takes.
    pub fn new(gate: Linear, up: Linear, down: Linear, activation: Activation) -> Result<Self, LayerError> {
        let (inputs, inner) = (gate.inputs(), gate.outputs());
        LayerError::expect_shape("up projection", [inner, inputs], [up.outputs(), up.inputs()])?;
        LayerError::expect_shape("down projection", [inner], [down.inputs()])?;
        Ok(Self { gate, up, down, activation, output_scale: None })
    }

    /// The same, whose output counts `output` times.
    pub fn scaled(self, output: f32) -> Result<Self, LayerError> {
        let output_scale = factors(self.down.outputs(), output)?;
        Ok(Self { output_scale, ..self })
    }

    /// Adds the layer of each row of `x` to `out`.
    pub fn add(
        &self,
        ctx: &Context<'_>,
        x: View<'_, f32, 2>,
        out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let gate = Epilogue { activation: self.activation, gated: true, ..Epilogue::default() };
        let inner = [self.up.map(Epilogue::default()), self.gate.map(gate)];
        let scale = self.output_scale.as_deref();
        let residual = Epilogue { residual: Residual::Output, scale, ..Epilogue::default() };
        feed_forward(ctx, x, &inner, self.down.map(residual), out)?;
        Ok(ctx.check()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiny_vlm_quant::{Matrix, Precision};
    use tiny_vlm_tensor::{Tensor, Workspace};

    fn linear(rows: usize, columns: usize, weights: &[f32]) -> Linear {
        Linear::new(Matrix::from_f32(rows, columns, weights, Precision::F32).unwrap(), None).unwrap()
    }

    #[test]
    fn it_is_added_to_what_there_is() {
        let (gate, up) = (linear(2, 1, &[1.0, -1.0]), linear(2, 1, &[2.0, 3.0]));
        let mlp = GatedMlp::new(gate, up, linear(1, 2, &[1.0, 10.0]), Activation::Relu).unwrap();
        let x = Tensor::from_slice([2, 1], &[1.0, -2.0]).unwrap();
        let mut out = Tensor::from_slice([2, 1], &[100.0, 1000.0]).unwrap();
        let workspace = Workspace::inline();
        mlp.add(&workspace.context(), x.view(), out.view_mut()).unwrap();
        // relu(1)·2·1, and relu(2)·(−6)·10.
        assert_eq!(out.data(), [102.0, 880.0]);
    }

    #[test]
    fn maps_that_do_not_fit_are_refused() {
        let maps = || [linear(2, 1, &[0.0; 2]), linear(2, 1, &[0.0; 2]), linear(1, 2, &[0.0; 2])];
        let [gate, up, _] = maps();
        assert!(GatedMlp::new(gate, up, linear(1, 3, &[0.0; 3]), Activation::Silu).is_err());
        let [gate, _, down] = maps();
        assert!(GatedMlp::new(gate, linear(1, 2, &[0.0; 2]), down, Activation::Silu).is_err());
    }
}
