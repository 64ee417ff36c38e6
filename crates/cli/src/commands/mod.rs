//! One module a command.

mod answer;
mod bench;
mod classify;
mod completions;
mod detect;
mod eval;
mod info;
mod inspect;
mod ocr;
mod pull;
mod quantize;
mod self_test;

pub(crate) use answer::{ask, caption};
pub(crate) use bench::bench;
pub(crate) use classify::{classify, embed};
pub(crate) use completions::completions;
pub(crate) use detect::detect;
pub(crate) use eval::eval;
pub(crate) use info::info;
pub(crate) use inspect::inspect;
pub(crate) use ocr::ocr;
pub(crate) use pull::pull;
pub(crate) use quantize::quantize;
pub(crate) use self_test::self_test;
