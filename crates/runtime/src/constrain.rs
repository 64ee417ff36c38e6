//! Keeping an answer to a grammar. Without the feature `grammar` there is none to keep to.

#[cfg(feature = "grammar")]
use tiny_vlm_models::Special;
#[cfg(feature = "grammar")]
use tiny_vlm_text::{Constraint, GrammarCompiler};

use crate::{Error, Model, RequestOptions};

/// What the answer still has to keep to.
#[derive(Default)]
pub(crate) struct Constrained {
    #[cfg(feature = "grammar")]
    constraint: Option<Constraint>,
}

#[cfg(feature = "grammar")]
impl Constrained {
    pub(crate) fn begin(model: &Model, options: &RequestOptions) -> Result<Self, Error> {
        let Some(grammar) = &options.grammar else { return Ok(Self::default()) };
        let compile = || -> Result<Constraint, tiny_vlm_text::TextError> {
            let slot = model.grammar_compiler();
            if let Some(compiler) = slot.get() {
                return compiler.compile(grammar);
            }
            let compiler = compiler(model)?;
            slot.get_or_init(|| compiler).compile(grammar)
        };
        let constraint = compile().map_err(|error| Error::Grammar(error.to_string()))?;
        Ok(Self { constraint: Some(constraint) })
    }

    /// Whether the answer may be anything.
    pub(crate) fn is_free(&self) -> bool {
        self.constraint.is_none()
    }

    /// Takes the tokens that may not come out of the choice.
    pub(crate) fn restrict(&mut self, scores: &mut [f32]) -> Result<(), Error> {
        match &mut self.constraint {
            Some(constraint) => {
                constraint.restrict(scores).map_err(|error| Error::Grammar(error.to_string()))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn accept(&mut self, token: u32) -> Result<(), Error> {
        match &mut self.constraint {
            Some(constraint) => constraint.accept(token).map_err(|error| Error::Grammar(error.to_string())),
            None => Ok(()),
        }
    }
}

/// A compiler for the model's tokens.
#[cfg(feature = "grammar")]
fn compiler(model: &Model) -> Result<GrammarCompiler, tiny_vlm_text::TextError> {
    let (family, vocab) = (model.family(), model.info().vocab);
    let ends = (0..vocab as u32).filter(|&token| family.special(token) == Special::End);
    GrammarCompiler::new(family.tokenizer(), vocab, &ends.collect::<Vec<_>>())
}

#[cfg(not(feature = "grammar"))]
impl Constrained {
    pub(crate) fn begin(_: &Model, _: &RequestOptions) -> Result<Self, Error> {
        Ok(Self::default())
    }

    pub(crate) fn is_free(&self) -> bool {
        true
    }

    pub(crate) fn restrict(&mut self, _: &mut [f32]) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn accept(&mut self, _: u32) -> Result<(), Error> {
        Ok(())
    }
}
