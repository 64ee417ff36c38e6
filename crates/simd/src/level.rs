//! Which instruction sets the machine has, and running an algorithm with one.

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;
use std::fmt;
use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use crate::aarch64::Neon;
use crate::isa::{Bf16Op, Dot4, DotBf16, DotOp, Isa, Op};
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use crate::wasm32::Simd128;
#[cfg(target_arch = "x86_64")]
use crate::x86::{Avx2, Avx512};

/// The instruction sets this library knows, weakest first within an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Portable code, as the compiler vectorizes it.
    Scalar,
    /// x86-64 AVX2, FMA and F16C.
    Avx2,
    /// AVX2 with the 256-bit int8 dot product.
    AvxVnni,
    /// AVX-512 F, BW, VL and DQ.
    Avx512,
    /// AVX-512 with the int8 dot product.
    Avx512Vnni,
    /// AVX-512 with the int8 and the bf16 dot product.
    Avx512Bf16,
    /// aarch64 as every such machine has it.
    Neon,
    /// NEON with the int8 dot product.
    DotProd,
    /// NEON with the int8 matrix product, and so with dot products of unsigned by signed bytes.
    I8mm,
    /// WebAssembly's 128-bit vectors.
    Simd128,
    /// WebAssembly's relaxed vectors.
    Relaxed,
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::Scalar,
        Kind::Avx2,
        Kind::AvxVnni,
        Kind::Avx512,
        Kind::Avx512Vnni,
        Kind::Avx512Bf16,
        Kind::Neon,
        Kind::DotProd,
        Kind::I8mm,
        Kind::Simd128,
        Kind::Relaxed,
    ];

    /// The name that `TINY_VLM_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Scalar => "scalar",
            Kind::Avx2 => "avx2",
            Kind::AvxVnni => "avxvnni",
            Kind::Avx512 => "avx512",
            Kind::Avx512Vnni => "avx512vnni",
            Kind::Avx512Bf16 => "avx512bf16",
            Kind::Neon => "neon",
            Kind::DotProd => "dotprod",
            Kind::I8mm => "i8mm",
            Kind::Simd128 => "simd128",
            Kind::Relaxed => "relaxed",
        }
    }

    fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn present(self) -> bool {
        match self {
            Kind::Scalar => !ONE_LEVEL,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => Kind::Avx2.present() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => {
                Kind::Avx2.present()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => Kind::Avx512.present() && is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16 => Kind::Avx512Vnni.present() && is_x86_feature_detected!("avx512bf16"),
            // A module is compiled for its instructions, and an engine that lacks one of them refuses it.
            Kind::Simd128 => {
                cfg!(all(target_arch = "wasm32", target_feature = "simd128"))
                    && !(ONE_LEVEL && Kind::Relaxed.present())
            }
            Kind::Relaxed => cfg!(all(target_arch = "wasm32", target_feature = "relaxed-simd")),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Kind::DotProd => Kind::Neon.present() && is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "aarch64")]
            Kind::I8mm => Kind::DotProd.present() && is_aarch64_feature_detected!("i8mm"),
            _ => false,
        }
    }
}

/// Whether algorithms are compiled for one level alone, whichever a [`Level`] names.
const ONE_LEVEL: bool = cfg!(all(target_arch = "wasm32", target_feature = "simd128", feature = "one-level"));

/// What runs a level that algorithms are not compiled for.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128", feature = "one-level")))]
type Otherwise = crate::portable::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128", feature = "one-level"))]
type Otherwise = Simd128<{ cfg!(target_feature = "relaxed-simd") }>;

/// An instruction set that this machine has.
///
/// Only detection makes one, so a kernel that is handed a level may use its instructions. Levels are ordered
/// from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(Kind);

/// `TINY_VLM_ISA` names an instruction set that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown instruction set \"{}\"; known are", self.0)?;
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            write!(f, "{} {}", if i == 0 { "" } else { "," }, kind.name())?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownLevel {}

impl Level {
    /// Portable code, which every machine can run.
    pub const SCALAR: Level = Level(Kind::Scalar);

    /// The strongest level of this machine, or the one that the variable `TINY_VLM_ISA` lowers it to.
    ///
    /// The variable is read once. A name that does not exist is ignored here; [`Level::requested`] reports it.
    pub fn detect() -> Level {
        static DETECTED: OnceLock<Level> = OnceLock::new();
        *DETECTED.get_or_init(|| match Level::requested() {
            Ok(Some(level)) => level,
            _ => Level::best(),
        })
    }

    /// The strongest level of this machine, whatever the environment says.
    pub fn best() -> Level {
        Level::all().last().unwrap_or(Level::SCALAR)
    }

    /// The level that the variable `TINY_VLM_ISA` asks for: the strongest of this machine that is not above
    /// the named one. Nothing where the variable is unset or empty.
    ///
    /// # Errors
    /// [`UnknownLevel`] where the name is none of those of [`Kind::name`].
    pub fn requested() -> Result<Option<Level>, UnknownLevel> {
        match std::env::var("TINY_VLM_ISA") {
            Ok(name) if !name.is_empty() => Level::at_most(&name).map(Some),
            _ => Ok(None),
        }
    }

    /// The strongest level of this machine that is not above the named one.
    ///
    /// # Errors
    /// [`UnknownLevel`] where the name is none of those of [`Kind::name`].
    pub fn at_most(name: &str) -> Result<Level, UnknownLevel> {
        let kind = Kind::from_name(name).ok_or_else(|| UnknownLevel(name.to_owned()))?;
        Ok(Level::all().filter(|level| level.0 <= kind).last().unwrap_or(Level::SCALAR))
    }

    /// Every level of this machine, weakest first.
    pub fn available() -> Vec<Level> {
        Level::all().collect()
    }

    fn all() -> impl Iterator<Item = Level> {
        Kind::ALL.into_iter().filter(|kind| kind.present()).map(Level)
    }

    /// Which one it is.
    pub fn kind(self) -> Kind {
        self.0
    }

    /// The name that `TINY_VLM_ISA` takes.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The largest quantized activation its int8 dot product takes: 255, or 127 on AVX2, on AVX-512 without VNNI
    /// and with WebAssembly's relaxed vectors.
    pub fn activation_max(self) -> u8 {
        struct Max;
        impl DotOp for Max {
            type Output = u8;
            #[inline(always)]
            fn eval<I: Dot4>(self, _: I) -> u8 {
                I::ACTIVATION_MAX
            }
        }
        self.run_dot(Max)
    }

    /// Whether its dot products of bf16 are an instruction of their own: only then are they faster than f32.
    pub fn has_bf16_dot(self) -> bool {
        struct Has;
        impl Bf16Op for Has {
            type Output = bool;
            #[inline(always)]
            fn eval<I: DotBf16>(self, _: I) -> bool {
                I::HAS_BF16_DOT
            }
        }
        self.run_bf16(Has)
    }

    /// Whether its multiply-add always rounds once ([`Isa::FUSED`]). All levels of which that holds give the same bits in
    /// f32.
    pub fn is_fused(self) -> bool {
        struct Fused;
        impl Op for Fused {
            type Output = bool;
            #[inline(always)]
            fn eval<I: Isa>(self, _: I) -> bool {
                I::FUSED
            }
        }
        self.run(Fused)
    }

    /// Runs an algorithm over f32 and i32 lanes.
    pub fn run<O: Op>(self, op: O) -> O::Output {
        match self.0 {
            // SAFETY: a level of this kind is made only where detection found these features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 | Kind::AvxVnni => unsafe { Avx2::<false>::assume() }.call(op),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 | Kind::Avx512Vnni | Kind::Avx512Bf16 => unsafe { Avx512::<0>::assume() }.call(op),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(feature = "one-level")))]
            Kind::Simd128 => Simd128::<false>::new().call(op),
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd", not(feature = "one-level")))]
            Kind::Relaxed => Simd128::<true>::new().call(op),
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Kind::Neon | Kind::DotProd | Kind::I8mm => unsafe { Neon::<0>::assume() }.call(op),
            _ => Otherwise::new().call(op),
        }
    }

    /// Runs an algorithm with int8 dot products.
    pub fn run_dot<O: DotOp>(self, op: O) -> O::Output {
        match self.0 {
            // SAFETY: a level of this kind is made only where detection found these features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { Avx2::<false>::assume() }.call_dot(op),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => unsafe { Avx2::<true>::assume() }.call_dot(op),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { Avx512::<0>::assume() }.call_dot(op),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni | Kind::Avx512Bf16 => unsafe { Avx512::<1>::assume() }.call_dot(op),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(feature = "one-level")))]
            Kind::Simd128 => Simd128::<false>::new().call_dot(op),
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd", not(feature = "one-level")))]
            Kind::Relaxed => Simd128::<true>::new().call_dot(op),
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => unsafe { Neon::<0>::assume() }.call_dot(op),
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Kind::DotProd => unsafe { Neon::<1>::assume() }.call_dot(op),
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Kind::I8mm => unsafe { Neon::<2>::assume() }.call_dot(op),
            _ => Otherwise::new().call_dot(op),
        }
    }

    /// Runs an algorithm with bf16 dot products.
    pub fn run_bf16<O: Bf16Op>(self, op: O) -> O::Output {
        match self.0 {
            // SAFETY: a level of this kind is made only where detection found these features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 | Kind::AvxVnni => unsafe { Avx2::<false>::assume() }.call_bf16(op),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 | Kind::Avx512Vnni => unsafe { Avx512::<0>::assume() }.call_bf16(op),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16 => unsafe { Avx512::<2>::assume() }.call_bf16(op),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(feature = "one-level")))]
            Kind::Simd128 => Simd128::<false>::new().call_bf16(op),
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd", not(feature = "one-level")))]
            Kind::Relaxed => Simd128::<true>::new().call_bf16(op),
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Kind::Neon | Kind::DotProd | Kind::I8mm => unsafe { Neon::<0>::assume() }.call_bf16(op),
            _ => Otherwise::new().call_bf16(op),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_named() {
        let levels = Level::available();
        assert_eq!(levels[0], Level::SCALAR);
        assert!(levels.is_sorted());
        for level in levels {
            assert_eq!(Level::at_most(level.name()), Ok(level));
        }
        assert_eq!(Level::at_most("relaxed"), Ok(Level::best()));
        assert_eq!(Level::at_most("scalar"), Ok(Level::SCALAR));
        let message = Level::at_most("mmx").unwrap_err().to_string();
        assert!(message.starts_with("unknown instruction set \"mmx\"; known are scalar, avx2"), "{message}");
    }
}
