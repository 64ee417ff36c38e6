//! Instruction-set tokens and vector traits.
