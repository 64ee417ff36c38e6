//! What is chosen when a model is loaded, as far as a family has to know it.

use std::{fmt, str::FromStr};

use tiny_vlm_decoder::CachePrecision;
use tiny_vlm_quant::{Group, Precision as Format};
use tiny_vlm_weights::{Params, Weights};

/// The form that the weights take in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// The fastest that costs the family next to nothing in its answers.
    #[default]
    Auto,
    /// 32-bit floats: for exactness.
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit floats.
    F16,
    /// 8-bit integers, one scale a row.
    Int8,
    /// 4-bit integers in groups of 32 for the decoder's layers, 8-bit ones for the rest.
    Int4,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Auto, Self::F32, Self::Bf16, Self::F16, Self::Int8, Self::Int4];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no precision's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision {0:?} (known: auto, f32, bf16, f16, int8, int4)")]
pub struct UnknownPrecision(pub String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, UnknownPrecision> {
        let found = Self::ALL.into_iter().find(|precision| name.eq_ignore_ascii_case(precision.name()));
        found.ok_or_else(|| UnknownPrecision(name.chars().take(40).collect()))
    }
}

/// What the user would rather have more of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// The soonest answer: fewest tiles, smallest weights.
    Fast,
    /// The reference's behaviour at the fastest precision that keeps the answers.
    #[default]
    Balanced,
    /// The reference's behaviour to the last bit that floats allow.
    Accuracy,
}

/// What a family is loaded with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelOptions {
    /// The form of the weights.
    pub precision: Precision,
    /// What the user would rather have more of.
    pub profile: Profile,
    /// What the decoder's keys and values are rounded to.
    pub kv_cache: CachePrecision,
}

impl ModelOptions {
    /// Begins to load: matrices are to be of the precision that was asked for, and where none was, of `auto`; then what is
    /// packed stays as it is.
    pub(crate) fn params<'w>(&self, weights: &'w Weights, auto: impl FnOnce() -> Format) -> Params<'w> {
        let format = match self.precision {
            Precision::F32 => Format::F32,
            Precision::Bf16 => Format::Bf16,
            Precision::F16 => Format::F16,
            Precision::Int8 => Format::Int8,
            Precision::Int4 => Format::Int4(Group::Of32),
            Precision::Auto => auto(),
        };
        Params::new(weights, format).repacking(self.precision != Precision::Auto)
    }

    /// The form of the weights of a published family where nobody asks for one.
    pub(crate) fn published_format(&self) -> Format {
        if self.profile == Profile::Accuracy { Format::F32 } else { Format::Int8 }
    }

    /// The same with another precision.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same with another profile.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// The same with keys and values of another precision.
    #[must_use]
    pub fn with_kv_cache(self, kv_cache: CachePrecision) -> Self {
        Self { kv_cache, ..self }
    }
}

/// How closely an image is looked at, where the family cuts images into tiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Detail {
    /// The whole image once.
    Low,
    /// As many tiles as the image has pixels for: small images are not enlarged.
    Auto,
    /// As the reference does it, which may enlarge a small image to many tiles.
    #[default]
    High,
}

impl Detail {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Low, Self::Auto, Self::High];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Auto => "auto",
            Self::High => "high",
        }
    }
}

/// How much of an image a request wants looked at. It is part of the key under which features are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RequestShape {
    /// Most tiles that an image may be cut into, where the family cuts any; `None` leaves it to the family.
    pub max_tiles: Option<usize>,
    /// How closely it is looked at.
    pub detail: Detail,
}

impl RequestShape {
    /// The same with another bound on the tiles.
    #[must_use]
    pub fn with_max_tiles(self, max_tiles: Option<usize>) -> Self {
        Self { max_tiles, ..self }
    }

    /// The same at another detail.
    #[must_use]
    pub fn with_detail(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }
}
