//! What this build found on this machine.

use tiny_vlm_quant::kernel_names;
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::default_threads;

/// The machine as this build sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct System {
    /// The architecture that this was built for.
    pub arch: &'static str,
    /// Instruction sets that it has, the weakest first.
    pub isas: Vec<&'static str>,
    /// The one in use: the strongest, unless `TINY_VLM_ISA` lowers it.
    pub isa: &'static str,
    /// What `TINY_VLM_ISA` names, where that is nothing known.
    pub unknown_isa: Option<String>,
    /// Threads that a model works on unless told otherwise.
    pub threads: usize,
    /// Operators, the form of their weights, and the kernels that they take.
    pub kernels: Vec<Kernel>,
}

/// The kernel that operators take for weights of one form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernel {
    /// The operators.
    pub operators: &'static str,
    /// The form of the weights.
    pub precision: String,
    /// The kernel's name: `{arch}-{lhs}{rhs}{out}-{variant}`.
    pub name: String,
}

impl System {
    /// Looks at the machine.
    pub fn detect() -> Self {
        let level = Level::detect();
        let kernel = |found: tiny_vlm_quant::KernelName| Kernel {
            operators: found.operators,
            precision: found.precision.to_string(),
            name: found.kernel,
        };
        Self {
            arch: std::env::consts::ARCH,
            isas: Level::available().into_iter().map(Level::name).collect(),
            isa: level.name(),
            unknown_isa: Level::requested().err().map(|_| std::env::var("TINY_VLM_ISA").unwrap_or_default()),
            threads: default_threads(),
            kernels: kernel_names(level).into_iter().map(kernel).collect(),
        }
    }

    /// The largest quantized activation that the int8 products of an instruction set take, by its name among
    /// [`isas`](Self::isas): 255, or 127 where they lack a bit. Nothing for one that this machine does not have.
    pub fn activation_max(isa: &str) -> Option<u8> {
        Level::available().into_iter().find(|level| level.name() == isa).map(Level::activation_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_set_in_use_is_one_that_is_there() {
        let system = System::detect();
        assert!(system.isas.contains(&system.isa));
        assert!(system.threads > 0 && !system.kernels.is_empty());
    }
}
