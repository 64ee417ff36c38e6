//! Nano, the model that ships: a picture is a handful of things and some print.
//!
//! Where things are is found [at a glance](tiny_vlm_vision::ThingsFinder); what each is, a
//! [tower](tiny_vlm_vision::Tower) says from a glimpse of it alone; [fusion](tiny_vlm_fusion::ObjectTokens) makes of each
//! a token, and a decoder of four layers answers looking across at these. Print is [read](tiny_vlm_vision::PrintReader)
//! beside that: the decoder only says where it goes. The reference is `training/nano/pipeline.py`; every stage agrees
//! with it.

mod config;
#[cfg(test)]
mod golden;
mod look;
mod model;

pub(crate) use config::{MODEL_TYPE, NanoConfig};
pub(crate) use model::Nano;
