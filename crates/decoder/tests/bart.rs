//! What a BART promises beyond the numbers, which the tests of Florence-2 compare with the reference: the same result
//! however sequences are cut, batched and forked, and an error where there is no memory or no position.

use std::path::PathBuf;

use tiny_vlm_decoder::{
    Bart, BartConfig, CachePrecision, CrossMemory, DecoderError, DecoderStage, Input, KvCache, Sequence,
};
use tiny_vlm_quant::Precision;
use tiny_vlm_tensor::{Tensor, ViewMut, Workspace};
use tiny_vlm_weights::{Params, Weights};

const CONFIG: BartConfig = BartConfig {
    vocab: 1408,
    hidden: 40,
    layers: [2, 2],
    heads: [4, 4],
    ffn: [80, 96],
    positions: 64,
    scaled_embeddings: false,
};

fn load(config: &BartConfig) -> Bart {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/florence2");
    let weights = Weights::open(&folder).unwrap();
    let params = Params::new(&weights, Precision::F32);
    let text = params.scope("model").scope("language_model");
    let bart = Bart::load(&text, &params.root(), config).unwrap();
    // What is left belongs to the tower and the projector.
    let extra = params.finish_with_extra().unwrap();
    assert!(extra.iter().all(|name| !name.contains("language_model")), "{extra:?}");
    bart
}

/// What the encoder makes of some tokens, for the decoder.
fn memory(bart: &Bart, workspace: &Workspace, ids: &[u32]) -> CrossMemory {
    let ctx = workspace.context();
    let mut x = Tensor::zeroed([ids.len(), CONFIG.hidden]);
    bart.embed(ids, x.view_mut()).unwrap();
    bart.encode(&ctx, x.view_mut()).unwrap();
    bart.remember(&ctx, x.view()).unwrap()
}

fn step(bart: &Bart, workspace: &Workspace, batch: &mut [Sequence<'_>]) -> Result<Vec<f32>, DecoderError> {
    let mut logits = vec![f32::NAN; batch.len() * CONFIG.vocab];
    let view = ViewMut::new([batch.len(), CONFIG.vocab], &mut logits).unwrap();
    bart.step(&workspace.context(), batch, view).map(|()| logits)
}

#[test]
fn sequences_are_the_same_alone_together_and_forked() {
    let (bart, workspace) = (load(&CONFIG), Workspace::new(2));
    let memories = [&[0, 300, 41, 2][..], &[0, 7, 2]].map(|ids| memory(&bart, &workspace, ids));
    let texts: [&[u32]; 2] = [&[2, 0, 300, 12], &[2, 0]];
    let alone: Vec<Vec<f32>> = texts
        .iter()
        .zip(&memories)
        .map(|(ids, memory)| {
            let mut cache = bart.new_cache();
            let sequence = Sequence::new(Input::Tokens(ids), &mut cache).with_memory(memory);
            step(&bart, &workspace, &mut [sequence]).unwrap()
        })
        .collect();
    let mut caches = [bart.new_cache(), bart.new_cache()];
    let mut batch: Vec<Sequence<'_>> = caches
        .iter_mut()
        .zip(texts.iter().zip(&memories))
        .map(|(cache, (ids, memory))| Sequence::new(Input::Tokens(ids), cache).with_memory(memory))
        .collect();
    assert_eq!(step(&bart, &workspace, &mut batch).unwrap(), alone.concat());
    // A fork goes on as the original would.
    let [mut one, _] = caches;
    let mut two = one.clone();
    let go_on = |cache: &mut KvCache| {
        let sequence = Sequence::new(Input::Tokens(&[9]), cache).with_memory(&memories[0]);
        step(&bart, &workspace, &mut [sequence]).unwrap()
    };
    assert_eq!(go_on(&mut one), go_on(&mut two));
}

#[test]
fn what_cannot_enter_is_refused_and_leaves_the_cache() {
    let (bart, workspace) = (load(&CONFIG), Workspace::inline());
    let memory = memory(&bart, &workspace, &[0, 2]);
    let mut cache = bart.new_cache();
    let error = step(&bart, &workspace, &mut [Sequence::new(Input::Tokens(&[2]), &mut cache)]).unwrap_err();
    assert!(error.to_string().contains("no memory"), "{error}");
    let long = [5; 65];
    let sequence = Sequence::new(Input::Tokens(&long), &mut cache).with_memory(&memory);
    let error = step(&bart, &workspace, &mut [sequence]).unwrap_err();
    assert!(error.to_string().contains("64 positions"), "{error}");
    let unknown = Sequence::new(Input::Tokens(&[1408]), &mut cache).with_memory(&memory);
    assert!(matches!(step(&bart, &workspace, &mut [unknown]), Err(DecoderError::Token { id: 1408, .. })));
    assert_eq!(cache.len(), 0);
    let mut rows = Tensor::zeroed([65, CONFIG.hidden]);
    assert!(bart.encode(&workspace.context(), rows.view_mut()).is_err());
    let mut narrow = Tensor::zeroed([2, CONFIG.hidden - 1]);
    assert!(bart.encode(&workspace.context(), narrow.view_mut()).is_err());
}

#[test]
fn caches_are_of_the_precision_that_is_asked_for_and_embeddings_of_the_scale() {
    let config = BartConfig { scaled_embeddings: true, ..CONFIG };
    let bart = load(&config).with_cache_precision(CachePrecision::Int8);
    assert_eq!(bart.new_cache().precision(), CachePrecision::Int8);
    let [mut plain, mut scaled] = [Tensor::zeroed([1, CONFIG.hidden]), Tensor::zeroed([1, CONFIG.hidden])];
    load(&CONFIG).embed(&[300], plain.view_mut()).unwrap();
    bart.embed(&[300], scaled.view_mut()).unwrap();
    for (one, other) in plain.data().iter().zip(scaled.data()) {
        assert_eq!(one * 40.0_f32.sqrt(), *other);
    }
}
