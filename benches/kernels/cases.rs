//! What is timed: operators, number formats and the shapes of the models.

use half::bf16;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use tiny_vlm_kernels::{
    CachePrecision, DepthwiseInput, Head, KvShape, Lhs, Lines, Norm, NormKind, OutMut, Single, attend,
    attend_bf16, bf16_kernel, depthwise, f32_kernel, norm, quantize_rows, quantized_stride, softmax,
    widened_kernel,
};
use tiny_vlm_quant::{
    Activation, ConvShape, Epilogue, Group, Matrix, Precision, conv2d, feed_forward, matmul, prune_blocks,
};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::{Context, Tensor, View, ViewMut, Workspace, split};

use crate::limits::Limit;
use crate::peers::{self, Pool};
use crate::timing::Contestant;

/// Rows of activations, inputs and outputs of the products: a vision tower's layers over the 1024 patches of a
/// tile, and decoders reading a prompt.
const PRODUCTS: [[usize; 3]; 5] =
    [[1024, 768, 768], [1024, 768, 3072], [1024, 3072, 768], [256, 896, 4864], [64, 576, 1536]];
/// Decoders saying one token.
const STEPS: [[usize; 3]; 2] = [[1, 576, 1536], [1, 896, 4864]];
/// Sparse formats by their names in tables, with the dense ones that they race.
const SPARSE: [(&str, Precision, Precision); 2] = [
    ("f32-sparse", Precision::F32Sparse, Precision::F32),
    ("w8a8-sparse", Precision::Int8Sparse, Precision::Int8),
];
/// More than any cache of the last level that is met holds.
const BEYOND_CACHE: usize = 160 << 20;
/// Rows and width of feed-forward layers that are four times as wide inside: FastViTHD's stages, SigLIP's layers.
const FEED_FORWARD: [[usize; 2]; 3] = [[16384, 192], [4096, 384], [1024, 768]];
/// Height, width and channels of ResNet-50's 3×3 convolutions.
const CONVOLUTIONS: [[usize; 3]; 4] = [[56, 56, 64], [28, 28, 128], [14, 14, 256], [7, 7, 512]];
/// Height, width, channels and kernel of FastViT's depthwise convolutions: the stages of T8 at 256, whose images stay
/// in the second-level cache, and two of FastViTHD at 1024, whose do not.
const DEPTHWISE: [[usize; 4]; 10] = [
    [64, 64, 48, 3],
    [64, 64, 48, 7],
    [32, 32, 96, 3],
    [32, 32, 96, 7],
    [16, 16, 192, 3],
    [16, 16, 192, 7],
    [64, 64, 384, 3],
    [64, 64, 384, 7],
    [128, 128, 192, 3],
    [128, 128, 192, 7],
];

/// Tokens, heads and the length of a head of a vision tower's attention.
const ATTENTION: [[usize; 3]; 2] = [[1024, 12, 64], [256, 12, 64]];
/// Heads of queries, heads of keys, length of a head and tokens of SmolVLM-256M's attention when it says one token.
const ATTENTION_STEP: [usize; 4] = [9, 3, 64, 1024];
/// Tokens of a cache's block.
const BLOCK_TOKENS: usize = 64;

/// A row of the table.
pub(crate) struct Case {
    pub(crate) op: &'static str,
    pub(crate) format: &'static str,
    pub(crate) group: Option<usize>,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// Rows, inputs, outputs; and whether GELU follows.
    Product([usize; 3], Precision, bool),
    /// Rows, inputs, outputs; the sparse format and the dense one; and how many of a hundred 16×16 blocks are zero.
    Sparse([usize; 3], [Precision; 2], usize),
    /// One row by so many matrices in turn that none is in a cache any more.
    Stream([usize; 3], Precision),
    /// Rows and width of a layer with a GELU between its maps.
    FeedForward([usize; 2], Precision),
    /// A 3×3 convolution that keeps height, width and channels.
    Conv([usize; 3], Precision),
    Depthwise([usize; 4]),
    /// Tokens, heads, and the length of a head; and whether products are of bf16.
    Attention([usize; 3], bool),
    /// One token's attention over what a cache keeps; and whether over so many layers in turn that none is in a cache
    /// of the machine's any more.
    AttentionStep([usize; 4], CachePrecision, bool),
    Softmax([usize; 2]),
    Norm([usize; 2]),
    Quantize([usize; 2]),
    /// A region of as many tasks as there are threads; and whether each of them waits for all to have begun, as otherwise
    /// one thread may be done with all of them before another has heard of it.
    ForkJoin(bool),
}

/// What a case is at one level.
pub(crate) struct Subject {
    pub(crate) kernel: String,
    pub(crate) limit: Limit,
    /// Operations or bytes of a call.
    pub(crate) work: f64,
    pub(crate) run: Box<dyn FnMut(&Context<'_>)>,
}

/// Number formats by their names in tables, with the number of weights that share a scale.
const FORMATS: [(&str, Option<usize>, Precision); 8] = [
    ("f32", None, Precision::F32),
    ("f16", None, Precision::F16),
    ("bf16", None, Precision::Bf16),
    ("w8a8", None, Precision::Int8),
    ("w4a8", Some(32), Precision::Int4(Group::Of32)),
    ("w4a8", Some(64), Precision::Int4(Group::Of64)),
    ("w2a8", Some(32), Precision::Int2(Group::Of32)),
    ("w2a8", Some(64), Precision::Int2(Group::Of64)),
];

/// Every case there is.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (format, group, precision) in FORMATS {
        let mut add = |op, what| cases.push(Case { op, format, group, what });
        PRODUCTS.into_iter().for_each(|shape| add("gemm", What::Product(shape, precision, false)));
        if precision == Precision::Int8 {
            add("gemm-gelu", What::Product(PRODUCTS[1], precision, true));
            FEED_FORWARD
                .into_iter()
                .for_each(|shape| add("feed-forward", What::FeedForward(shape, precision)));
        }
        STEPS.into_iter().for_each(|shape| add("gemv", What::Product(shape, precision, false)));
        add("gemv-stream", What::Stream(STEPS[1], precision));
    }
    for (format, sparse, dense) in SPARSE {
        let mut add = |op, shape, zeros| {
            cases.push(Case { op, format, group: None, what: What::Sparse(shape, [sparse, dense], zeros) });
        };
        (0..10).for_each(|tenths| add("gemm", PRODUCTS[0], 10 * tenths));
        PRODUCTS[1..].iter().for_each(|shape| add("gemm", *shape, 50));
        STEPS.into_iter().for_each(|shape| add("gemv", shape, 50));
    }
    for (format, group, precision) in FORMATS {
        if matches!(precision, Precision::F32 | Precision::Int8) {
            let conv = |shape| Case { op: "conv", format, group, what: What::Conv(shape, precision) };
            cases.extend(CONVOLUTIONS.map(conv));
        }
    }
    let f32 = |op, what| Case { op, format: "f32", group: None, what };
    cases.extend(DEPTHWISE.map(|shape| f32("depthwise", What::Depthwise(shape))));
    for (format, in_bf16) in [("f32", false), ("bf16", true)] {
        let attention =
            |shape| Case { op: "attention", format, group: None, what: What::Attention(shape, in_bf16) };
        cases.extend(ATTENTION.map(attention));
    }
    for precision in CachePrecision::ALL {
        for (op, stream) in [("attention-step", false), ("attention-step-stream", true)] {
            let what = What::AttentionStep(ATTENTION_STEP, precision, stream);
            cases.push(Case { op, format: precision.name(), group: None, what });
        }
    }
    let fork_join = |meet| Case { op: "fork-join", format: "", group: None, what: What::ForkJoin(meet) };
    cases.extend([false, true].map(fork_join));
    cases.push(f32("softmax", What::Softmax([48, 1024])));
    cases.push(f32("norm", What::Norm([256, 768])));
    cases.push(f32("quantize", What::Quantize([256, 768])));
    cases
}

impl Case {
    pub(crate) fn shape(&self) -> String {
        match self.what {
            What::Product([m, k, n], ..) | What::Stream([m, k, n], _) => format!("{m}x{k}->{n}"),
            What::Sparse([m, k, n], _, zeros) => format!("{m}x{k}->{n} {zeros}%"),
            What::FeedForward([m, n], _) => format!("{m}x{n}->{}->{n}", 4 * n),
            What::Conv([h, w, c], _) => format!("{h}x{w}x{c} 3x3"),
            What::Depthwise([h, w, c, k]) => format!("{h}x{w}x{c} {k}x{k}"),
            What::Attention([t, h, d], _) => format!("{t}x{h}x{d}"),
            What::AttentionStep([queries, keys, d, t], ..) => format!("{queries}/{keys}x{d}x{t}"),
            What::ForkJoin(false) => "empty".to_owned(),
            What::ForkJoin(true) => "all meet".to_owned(),
            What::Softmax([r, c]) | What::Norm([r, c]) | What::Quantize([r, c]) => format!("{r}x{c}"),
        }
    }

    /// Whether it does anything that depends on the instruction set.
    pub(crate) fn computes(&self) -> bool {
        !matches!(self.what, What::ForkJoin(_))
    }

    /// What `--filter` looks at.
    pub(crate) fn name(&self) -> String {
        let group = self.group.map(|group| format!(" g{group}")).unwrap_or_default();
        format!("{} {}{group} {}", self.op, self.format, self.shape())
    }

    pub(crate) fn subject(&self, level: Level) -> Subject {
        match self.what {
            What::Product([m, k, n], precision, gelu) => {
                product(m, weights(level, n, k, precision), gelu, 1.0)
            }
            What::Sparse([m, k, n], [precision, _], zeros) => {
                product(m, pruned(level, n, k, precision, zeros), false, density(zeros))
            }
            What::Stream(shape, precision) => stream(level, shape, precision),
            What::FeedForward(shape, precision) => layer(level, shape, precision),
            What::Conv(shape, precision) => conv(level, shape, precision),
            What::Depthwise(shape) => depthwise_conv(level, shape),
            What::Attention(shape, in_bf16) => attention(level, shape, in_bf16),
            What::AttentionStep(shape, precision, stream) => attention_step(level, shape, precision, stream),
            What::ForkJoin(meet) => fork_join(meet),
            What::Softmax([rows, columns]) => {
                let mut data = noise(rows * columns);
                elementwise("softmax", rows * columns, move |_| {
                    softmax(level, &mut data, rows, columns, columns, 0.125);
                })
            }
            What::Norm([rows, columns]) => {
                let (x, weight, mut out) = (noise(rows * columns), noise(columns), vec![0.0; rows * columns]);
                elementwise("norm", rows * columns, move |_| {
                    let layer =
                        Norm { kind: NormKind::Layer, weight: &weight, bias: Some(&weight), epsilon: 1e-6 };
                    norm(level, &x, [rows, columns], [columns; 2], &layer, &mut out);
                })
            }
            What::Quantize([rows, columns]) => {
                let (x, stride) = (noise(rows * columns), quantized_stride(columns));
                let mut out = vec![0.0; rows * stride];
                elementwise("quantize", rows * columns, move |_| {
                    let x = View::new([rows, columns], &x).expect("as long as its shape");
                    let out = ViewMut::new([rows, stride], &mut out).expect("as long as its shape");
                    quantize_rows(level, x, out.into());
                })
            }
        }
    }

    /// Who else computes this: other libraries, and for sparse weights the dense kernel.
    pub(crate) fn peers<'a>(
        &self,
        level: Level,
        workspace: &'a Workspace,
        pool: &'a Pool,
    ) -> Vec<(String, Contestant<'a>)> {
        match self.what {
            What::Product(shape, precision, _) => peers::of_product(pool, shape, precision),
            What::Sparse([m, k, n], [_, precision], zeros) => {
                let mut dense = product(m, pruned(level, n, k, precision, zeros), false, density(zeros));
                let name = format!("dense {}", dense.kernel);
                let turn = move || {
                    (dense.run)(&workspace.context());
                    dense.work
                };
                vec![(name, Box::new(turn))]
            }
            _ => Vec::new(),
        }
    }
}

fn limit(precision: Precision) -> Limit {
    match precision {
        Precision::F32 | Precision::F32Sparse | Precision::F16 => Limit::F32,
        Precision::Bf16 => Limit::Bf16,
        _ => Limit::Int8,
    }
}

fn weights(level: Level, n: usize, k: usize, precision: Precision) -> Matrix {
    let matrix = Matrix::from_f32(n, k, &noise(n * k), precision).expect("weights of their shape");
    matrix.at_level(level)
}

/// Weights of which so many of a hundred blocks are zero.
fn pruned(level: Level, n: usize, k: usize, precision: Precision, zeros: usize) -> Matrix {
    let weights = prune_blocks(n, k, &noise(n * k), density(zeros)).expect("weights of their shape");
    Matrix::from_f32(n, k, &weights, precision).expect("weights of their shape").at_level(level)
}

fn density(zeros: usize) -> f64 {
    1.0 - zeros as f64 / 100.0
}

/// A product, the preparation of its activations included. Of weights that are zero in part, only the share that is not
/// counts as work, for sparse and dense kernels alike: their rates compare as their times do.
fn product(m: usize, weights: Matrix, gelu: bool, share: f64) -> Subject {
    let (n, k) = (weights.rows(), weights.columns());
    let (x, bias) = (tensor(m, k), noise(n));
    let mut out = Tensor::<f32, 2>::zeroed([m, n]);
    let (limit, work) = if m == 1 {
        (Limit::Read(weights.bytes()), weights.bytes() as f64)
    } else {
        (limit(weights.precision()), 2.0 * (m * n * k) as f64 * share)
    };
    Subject {
        kernel: weights.kernel(),
        limit,
        work,
        run: Box::new(move |ctx| {
            let activation = if gelu { Activation::Gelu } else { Activation::None };
            let epilogue = Epilogue { activation, ..Epilogue::bias(&bias) };
            matmul(ctx, x.view(), &weights, &epilogue, out.view_mut()).expect("the shapes fit");
        }),
    }
}

fn stream(level: Level, [m, k, n]: [usize; 3], precision: Precision) -> Subject {
    let one = weights(level, n, k, precision);
    let matrices = vec![one.clone(); BEYOND_CACHE.div_ceil(one.bytes())];
    let bytes = matrices.len() * one.bytes();
    let x = tensor(m, k);
    let mut out = Tensor::<f32, 2>::zeroed([m, n]);
    Subject {
        kernel: one.kernel(),
        limit: Limit::Read(bytes),
        work: bytes as f64,
        run: Box::new(move |ctx| {
            for weights in &matrices {
                let done = matmul(ctx, x.view(), weights, &Epilogue::default(), out.view_mut());
                done.expect("the shapes fit");
            }
        }),
    }
}

fn layer(level: Level, [m, n]: [usize; 2], precision: Precision) -> Subject {
    let maps = [weights(level, 4 * n, n, precision), weights(level, n, 4 * n, precision)];
    let (x, bias) = (tensor(m, n), noise(4 * n));
    let mut out = Tensor::<f32, 2>::zeroed([m, n]);
    Subject {
        kernel: maps[0].kernel(),
        limit: limit(precision),
        work: 4.0 * (m * n * 4 * n) as f64,
        run: Box::new(move |ctx| {
            let inner = Epilogue { activation: Activation::Gelu, ..Epilogue::bias(&bias) };
            let last = (&maps[1], Epilogue::bias(&bias[..n]));
            feed_forward(ctx, x.view(), &[(&maps[0], inner)], last, out.view_mut()).expect("the shapes fit");
        }),
    }
}

fn conv(level: Level, [h, w, c]: [usize; 3], precision: Precision) -> Subject {
    let weights = weights(level, c, 9 * c, precision);
    let (x, bias) = (image([h, w, c]), noise(c));
    let mut out = Tensor::<f32, 3>::zeroed([h, w, c]);
    Subject {
        kernel: weights.kernel(),
        limit: limit(precision),
        work: 2.0 * (h * w * c * 9 * c) as f64,
        run: Box::new(move |ctx| {
            let epilogue = Epilogue { activation: Activation::Relu, ..Epilogue::bias(&bias) };
            let shape = ConvShape::square(3, 1, 1);
            conv2d(ctx, x.view(), &weights, &shape, &epilogue, out.view_mut()).expect("the shapes fit");
        }),
    }
}

fn depthwise_conv(level: Level, [h, w, c, k]: [usize; 4]) -> Subject {
    let (x, weights, bias) = (tensor(h * w, c), noise(k * k * c), noise(c));
    let mut out = Tensor::<f32, 2>::zeroed([h * w, c]);
    Subject {
        kernel: format!("depthwise {k}x{k}"),
        limit: Limit::F32,
        // Taps over the border are no work.
        work: 2.0 * (inner_taps(h, k) * inner_taps(w, k) * c) as f64,
        run: Box::new(move |ctx| {
            let input = DepthwiseInput {
                image: x.data(),
                shape: [h, w, c],
                conv: ConvShape::square(k, 1, (k - 1) / 2),
            };
            split::for_each_tile(
                ctx.executor,
                out.view_mut(),
                [512_usize.div_ceil(w) * w, c],
                |first, part| {
                    depthwise(level, &input, &weights, &Epilogue::bias(&bias), OutMut::at(first, part));
                },
            );
        }),
    }
}

/// Pairs of an output and a tap that fall inside, along a side of `n`.
fn inner_taps(n: usize, kernel: usize) -> usize {
    let pad = (kernel - 1) / 2;
    (0..n).map(|at| (at + pad + 1).min(n) - at.saturating_sub(pad)).sum()
}

fn attention(level: Level, [tokens, heads, dim]: [usize; 3], in_bf16: bool) -> Subject {
    let width = heads * dim;
    let qkv = tensor(tokens, 3 * width);
    // A row a head.
    let mut out = Tensor::<f32, 2>::zeroed([heads, tokens * dim]);
    Subject {
        kernel: if in_bf16 { bf16_kernel(level) } else { f32_kernel(level) },
        limit: if in_bf16 { Limit::Bf16 } else { Limit::F32 },
        work: 4.0 * (heads * tokens * tokens * dim) as f64,
        run: Box::new(move |ctx| {
            let head = |head: usize| Head {
                queries: &qkv.data()[head * dim..],
                keys: &qkv.data()[width + head * dim..],
                values: &qkv.data()[2 * width + head * dim..],
                strides: [3 * width; 3],
                counts: [tokens; 2],
                dim,
                value_dim: dim,
                scale: 0.125,
                causal: None,
            };
            let tile = [1, tokens * dim];
            let attend = if in_bf16 { attend_bf16 } else { attend };
            let scratch = if in_bf16 { head(0).scratch_bf16() } else { head(0).scratch() };
            ctx.for_each_tile_with_scratch(out.view_mut(), tile, scratch, |[number, _], out, scratch| {
                let out = out.into_data().expect("a row has no gaps");
                attend(level, &head(number), scratch, out, dim);
            });
        }),
    }
}

fn attention_step(
    level: Level,
    [heads, kv_heads, dim, tokens]: [usize; 4],
    precision: CachePrecision,
    stream: bool,
) -> Subject {
    let (group, block_tokens) = (heads / kv_heads, BLOCK_TOKENS);
    let shape = KvShape { tokens: block_tokens, dim, precision };
    let words = shape.words().expect("a block of some kilobytes");
    let blocks = tokens.div_ceil(block_tokens);
    let mut layer = vec![0.0; kv_heads * blocks * words];
    let (key, value) = (noise(dim), noise(2 * dim));
    for block in layer.chunks_exact_mut(words) {
        (0..block_tokens).for_each(|token| shape.write(level, block, token, &key, &value[dim..]));
    }
    let layer_bytes = 4 * layer.len();
    let layers = vec![layer; if stream { BEYOND_CACHE.div_ceil(layer_bytes) } else { 1 }];
    let bytes = layers.len() * layer_bytes;
    let (queries, mut out) = (noise(heads * dim), vec![0.0; heads * dim]);
    Subject {
        kernel: match precision {
            CachePrecision::Bf16 => widened_kernel::<Single<bf16>>(level),
            CachePrecision::Int8 => widened_kernel::<Single<i8>>(level),
            _ => f32_kernel(level),
        },
        limit: Limit::Read(bytes),
        work: bytes as f64,
        run: Box::new(move |ctx| {
            for layer in &layers {
                let out = ViewMut::new([kv_heads, group * dim], &mut out).expect("as long as its shape");
                let scratch = Lines::scratch(group, dim, tokens, block_tokens);
                ctx.for_each_tile_with_scratch(out, [1, group * dim], scratch, |[head, _], out, scratch| {
                    let lines = Lines {
                        queries: Lhs::matrix(&queries[head * group * dim..], group, dim, dim),
                        group,
                        seen: tokens,
                        causal: false,
                        block_tokens,
                        scale: 0.125,
                    };
                    let block = |index| shape.read(&layer[(head * blocks + index) * words..][..words]);
                    let sums = lines.attend(level, block, scratch);
                    out.into_data().expect("a row has no gaps").copy_from_slice(sums);
                });
            }
        }),
    }
}

fn fork_join(meet: bool) -> Subject {
    let begun = AtomicUsize::new(0);
    Subject {
        kernel: "executor".to_owned(),
        limit: Limit::Time,
        work: 1.0,
        run: Box::new(move |ctx| {
            let threads = ctx.executor.threads();
            begun.store(0, Ordering::Relaxed);
            ctx.executor.run(threads, &|task| {
                black_box(task);
                begun.fetch_add(1, Ordering::Relaxed);
                while meet && begun.load(Ordering::Relaxed) < threads {
                    std::hint::spin_loop();
                }
            });
        }),
    }
}

/// A function of each value: what is read counts.
fn elementwise(kernel: &'static str, values: usize, run: impl FnMut(&Context<'_>) + 'static) -> Subject {
    let bytes = 4 * values;
    Subject { kernel: kernel.to_owned(), limit: Limit::Read(bytes), work: bytes as f64, run: Box::new(run) }
}

/// The same values on every run, spread over -1 to 1.
fn noise(count: usize) -> Vec<f32> {
    let value = |index: usize| {
        let bits = (index as u32).wrapping_mul(0x9e37_79b9);
        (bits ^ bits >> 15) as i32 as f32 / 2_f32.powi(31)
    };
    (0..count).map(value).collect()
}

/// The same where a cache line begins, as the tensors of models do: vectors that cross lines cost depthwise convolution
/// a quarter of its rate.
fn tensor(rows: usize, columns: usize) -> Tensor<f32, 2> {
    let values = noise(rows * columns);
    Tensor::from_fn([rows, columns], |[row, column]| values[row * columns + column])
}

fn image([h, w, c]: [usize; 3]) -> Tensor<f32, 3> {
    let values = noise(h * w * c);
    Tensor::from_fn([h, w, c], |[y, x, i]| values[(y * w + x) * c + i])
}
