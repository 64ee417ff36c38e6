//! Loaded models and their sessions: generation, caches, deadlines, telemetry.
#![forbid(unsafe_code)]
