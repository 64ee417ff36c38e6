//! What the command line asks for.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use lexopt::{Arg, Parser, ValueExt};
use tiny_vlm::{
    Budget, Detail, Grammar, Image, ImageLimits, Lang, LoadOptions, Precision, QuantizeOptions,
    RequestOptions, Target, WeightFormat,
};

use crate::{failure::Failure, input};

mod flags;

pub(crate) use flags::{FLAGS, Flag, Name};
use flags::{OF_A_MODEL, ONE, OUTPUT, WEIGHTS};

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help(Option<Name>),
    Version,
    Run(Name),
}

/// The whole command line, checked.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) command: Command,
    pub(crate) operands: Vec<OsString>,
    pub(crate) model: Option<PathBuf>,
    pub(crate) precisions: Vec<Precision>,
    pub(crate) threads: Option<usize>,
    pub(crate) lang: Option<Lang>,
    pub(crate) lines: bool,
    /// How many classes are told.
    pub(crate) top: usize,
    /// Most questions of a row, and where the answers go.
    pub(crate) limit: Option<usize>,
    pub(crate) answers: Option<PathBuf>,
    pub(crate) scores: bool,
    /// Samples of each figure, and the image that is looked at for them.
    pub(crate) runs: usize,
    pub(crate) bench_image: Option<OsString>,
    pub(crate) bench_question: Option<String>,
    /// Where quantized weights go, and how they are made.
    pub(crate) output: Option<PathBuf>,
    pub(crate) weights: Option<WeightFormat>,
    pub(crate) budget: Option<Budget>,
    pub(crate) sparse: bool,
    pub(crate) samples: Vec<OsString>,
    /// Which of a hub model's states is fetched.
    pub(crate) revision: Option<String>,
    pub(crate) json: bool,
    pub(crate) stats: bool,
    pub(crate) request: RequestOptions,
    pub(crate) limits: ImageLimits,
}

impl Args {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let mut args = Self {
            command: Command::Help(None),
            operands: Vec::new(),
            model: None,
            precisions: Vec::new(),
            threads: None,
            lang: None,
            lines: false,
            top: 5,
            limit: None,
            answers: None,
            scores: false,
            runs: 5,
            bench_image: None,
            bench_question: None,
            output: None,
            weights: None,
            budget: None,
            sparse: false,
            samples: Vec::new(),
            revision: None,
            json: false,
            stats: false,
            request: RequestOptions::default(),
            limits: ImageLimits::default(),
        };
        let mut parser = Parser::from_args(arguments);
        let mut name = None;
        let mut given = Vec::new();
        let mut help = false;
        while let Some(argument) = parser.next().map_err(|error| failure(&error, name))? {
            match argument {
                Arg::Short('h') => help = true,
                Arg::Long("help") => help = true,
                Arg::Short('V') | Arg::Long("version") => {
                    return Ok(Self { command: Command::Version, ..args });
                }
                Arg::Long(long) => {
                    let Some(flag) = FLAGS.iter().find(|flag| flag.long == long) else {
                        return Err(
                            Failure::usage("option-unknown", &[("name", &format!("--{long}"))]).of(name)
                        );
                    };
                    given.push(flag.long);
                    args.option(flag, &mut parser).map_err(|failure| failure.of(name))?;
                }
                Arg::Short('o') => {
                    given.push("output");
                    args.option(&OUTPUT, &mut parser).map_err(|failure| failure.of(name))?;
                }
                Arg::Short(short) => {
                    return Err(Failure::usage("option-unknown", &[("name", &format!("-{short}"))]).of(name));
                }
                Arg::Value(value) if name.is_none() => {
                    let found = value.to_str().and_then(Name::find);
                    let said = value.to_string_lossy();
                    name = Some(found.ok_or_else(|| Failure::usage("command-unknown", &[("name", &said)]))?);
                }
                Arg::Value(value) => args.operands.push(value),
            }
        }
        if help {
            return Ok(Self { command: Command::Help(name), ..args });
        }
        let Some(name) = name else { return Err(Failure::usage("command-missing", &[])) };
        args.command = Command::Run(name);
        if OF_A_MODEL.contains(&name) && args.operands.len() == 1 && args.model.is_none() {
            args.model = args.operands.pop().map(PathBuf::from);
        }
        args.check(name, &given).map_err(|failure| failure.of(Some(name)))?;
        Ok(args)
    }

    fn option(&mut self, flag: &Flag, parser: &mut Parser) -> Result<(), Failure> {
        if flag.value.is_none() {
            match flag.long {
                "json" => self.json = true,
                "stats" => self.stats = true,
                "scores" => self.scores = true,
                "sparse" => self.sparse = true,
                _ => self.lines = true,
            }
            return Ok(());
        }
        let value = parser
            .value()
            .map_err(|_| Failure::usage("value-missing", &[("name", &format!("--{}", flag.long))]))?;
        match flag.long {
            "model" => {
                self.model = Some(value.into());
                return Ok(());
            }
            "answers" => {
                self.answers = Some(value.into());
                return Ok(());
            }
            "json-schema" => {
                self.request.grammar = Some(Grammar::JsonSchema(input::grammar(&value)?));
                return Ok(());
            }
            "grammar" => {
                self.request.grammar = Some(Grammar::Lark(input::grammar(&value)?));
                return Ok(());
            }
            "image" => {
                self.bench_image = Some(value);
                return Ok(());
            }
            "sample" => {
                self.samples.push(value);
                return Ok(());
            }
            "output" => {
                self.output = Some(value.into());
                return Ok(());
            }
            _ => {}
        }
        let text = value.string().map_err(|value| wrong(flag, &value.to_string(), "UTF-8"))?;
        match flag.long {
            "precision" => {
                let names = text.split(',').map(|name| name.trim().parse());
                let expected = "auto, f32, bf16, f16, int8, int4";
                self.precisions =
                    names.collect::<Result<_, _>>().map_err(|_| wrong(flag, &text, expected))?;
            }
            "weights" => {
                let format = WeightFormat::from_name(&text);
                self.weights = Some(format.ok_or_else(|| wrong(flag, &text, WEIGHTS))?);
            }
            "bytes" => self.budget(flag, Budget::Bytes(number(flag, &text, 1..=u64::MAX)? as usize))?,
            "error" => self.budget(flag, Budget::Error(fraction(flag, &text, 1.0)?.into()))?,
            "threads" => self.threads = Some(number(flag, &text, 1..=1024)? as usize),
            "lang" => {
                self.lang = Some(
                    text.parse().map_err(|error| Failure::usage_error(&tiny_vlm::Error::Language(error)))?,
                )
            }
            "detail" => {
                let found = Detail::ALL.into_iter().find(|detail| detail.name() == text);
                self.request.shape.detail = found.ok_or_else(|| wrong(flag, &text, "low, auto, high"))?;
            }
            "max-tiles" => self.request.shape.max_tiles = Some(number(flag, &text, 1..=1_000_000)? as usize),
            "runs" => self.runs = number(flag, &text, 1..=1000)? as usize,
            "question" => self.bench_question = Some(text),
            "revision" => self.revision = Some(text),
            "top" => self.top = number(flag, &text, 1..=1_000_000)? as usize,
            "max-tokens" => self.request.max_tokens = Some(number(flag, &text, 1..=1_000_000)? as usize),
            "beams" => self.request.num_beams = Some(number(flag, &text, 1..=64)? as usize),
            "temperature" => self.request.temperature = fraction(flag, &text, 100.0)?,
            "limit" => self.limit = Some(number(flag, &text, 1..=u32::MAX.into())? as usize),
            "seed" => self.request.seed = number(flag, &text, 0..=u64::MAX)?,
            "top-k" => self.request.top_k = number(flag, &text, 0..=u32::MAX.into())? as usize,
            "top-p" => self.request.top_p = fraction(flag, &text, 1.0)?,
            "min-p" => self.request.min_p = fraction(flag, &text, 1.0)?,
            "stop" => self.request.stop.push(text),
            "regex" => self.request.grammar = Some(Grammar::Regex(text)),
            "deadline" => self.request.deadline = Some(time(flag, &text)?),
            "max-image-bytes" => self.limits.max_bytes = number(flag, &text, 1..=u64::MAX)?,
            "max-pixels" => self.limits.max_pixels = number(flag, &text, 1..=u64::MAX)?,
            "max-ratio" => self.limits.max_ratio = number(flag, &text, 1..=u32::MAX.into())? as u32,
            _ => self.request.max_question_bytes = number(flag, &text, 1..=u32::MAX.into())? as usize,
        }
        Ok(())
    }

    /// Takes a budget, of which there is one.
    fn budget(&mut self, flag: &Flag, budget: Budget) -> Result<(), Failure> {
        match self.budget.replace(budget) {
            None => Ok(()),
            Some(_) => {
                let name = format!("--{}", flag.long);
                Err(Failure::usage("options-exclude", &[("name", &name), ("other", "--bytes, --error")]))
            }
        }
    }

    /// How weights are to be quantized: to bytes, unless something else is asked for.
    pub(crate) fn quantize_options<'a>(&self, samples: &'a [Image]) -> Result<QuantizeOptions<'a>, Failure> {
        if self.budget.is_none() && !self.samples.is_empty() {
            let details = [("name", "--sample"), ("command", "--weights")];
            return Err(Failure::usage("option-elsewhere", &details).of(Some(Name::Quantize)));
        }
        let target = match (self.weights, self.budget) {
            (Some(_), Some(_)) => {
                let details = [("name", "--weights"), ("other", "--bytes, --error")];
                return Err(Failure::usage("options-exclude", &details).of(Some(Name::Quantize)));
            }
            (format, None) => Target::Precision(format.unwrap_or(WeightFormat::Int8)),
            (None, Some(budget)) => Target::Budget(budget),
        };
        match target {
            Target::Precision(format)
                if self.sparse && !matches!(format, WeightFormat::Int8 | WeightFormat::F32) =>
            {
                let details = [("name", "--sparse"), ("command", &*format!("--weights {format}"))];
                Err(Failure::usage("option-elsewhere", &details).of(Some(Name::Quantize)))
            }
            target => Ok(QuantizeOptions { target, sparse: self.sparse, samples }),
        }
    }

    /// Whether the options go with the command, and the operands are as many as it takes.
    fn check(&self, name: Name, given: &[&str]) -> Result<(), Failure> {
        let command = name.as_str();
        for long in given {
            if !FLAGS.iter().any(|flag| flag.long == *long && flag.commands.contains(&name)) {
                let details = [("name", format!("--{long}")), ("command", command.to_owned())];
                return Err(Failure::usage(
                    "option-elsewhere",
                    &details.each_ref().map(|(k, v)| (*k, v.as_str())),
                ));
            }
        }
        if self.precisions.len() > 1 && name != Name::Eval {
            return Err(wrong(&ONE, "…,…", "auto, f32, bf16, f16, int8, int4"));
        }
        let missing = |what| Err(Failure::usage("argument-missing", &[("command", command), ("name", what)]));
        let count = self.operands.len();
        let most = match name {
            Name::Ask if count == 0 => return missing("IMAGE"),
            Name::Ask if count == 1 => return missing("QUESTION"),
            Name::Classify | Name::Embed if self.model.is_none() => return missing("--model DIR"),
            Name::Caption | Name::Ocr | Name::Detect | Name::Classify | Name::Embed if count == 0 => {
                return missing("IMAGE");
            }
            Name::Eval if count == 0 => return missing("SET"),
            Name::Pull if count == 0 => return missing("OWNER/NAME"),
            Name::Completions if count == 0 => return missing("SHELL"),
            Name::Quantize if self.output.is_none() => return missing("-o DIR"),
            Name::Ask | Name::Caption | Name::Ocr | Name::Detect | Name::Classify | Name::Embed => usize::MAX,
            Name::Eval | Name::SelfTest | Name::Pull | Name::Completions => 1,
            // The model is taken out of the operands.
            Name::Inspect | Name::Quantize | Name::Bench if self.model.is_some() => 0,
            Name::Inspect | Name::Quantize | Name::Bench => 1,
            Name::Info => 0,
        };
        if count > most {
            return Err(Failure::usage(
                "argument-extra",
                &[("value", &self.operands[most].to_string_lossy())],
            ));
        }
        let from_stdin = match name {
            Name::Ask | Name::Caption | Name::Ocr | Name::Detect | Name::Classify | Name::Embed => {
                self.operands.iter().filter(|operand| *operand == "-").count()
            }
            _ => 0,
        };
        if from_stdin > 1 { Err(Failure::usage("input-twice", &[])) } else { Ok(()) }
    }

    /// How the model is to be loaded, in the first precision asked for.
    pub(crate) fn load_options(&self) -> LoadOptions {
        let mut options = LoadOptions::default();
        options.threads = self.threads;
        options.precision = self.precisions.first().copied().unwrap_or_default();
        options
    }
}

fn wrong(flag: &Flag, value: &str, expected: &str) -> Failure {
    let name = format!("--{}", flag.long);
    Failure::usage("value-wrong", &[("name", &name), ("value", value), ("expected", expected)])
}

fn number(flag: &Flag, text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, Failure> {
    let (low, high) = (*range.start(), *range.end());
    let expected = if high >= u32::MAX.into() { format!("≥ {low}") } else { format!("{low}..{high}") };
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| wrong(flag, text, &expected))
}

fn fraction(flag: &Flag, text: &str, most: f32) -> Result<f32, Failure> {
    let value: Option<f32> = text.parse().ok().filter(|value| (0.0..=most).contains(value));
    value.ok_or_else(|| wrong(flag, text, &format!("0..{most}")))
}

/// `500ms`, `2s`, `1.5` (seconds).
fn time(flag: &Flag, text: &str) -> Result<Duration, Failure> {
    let (digits, scale) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds: Option<f64> = digits.trim().parse().ok().map(|value: f64| value * scale);
    let seconds = seconds.filter(|seconds| *seconds > 0.0 && *seconds <= 1e6);
    seconds.map(Duration::from_secs_f64).ok_or_else(|| wrong(flag, text, "500ms, 2s, …"))
}

fn failure(error: &lexopt::Error, name: Option<Name>) -> Failure {
    let failure = match error {
        lexopt::Error::UnexpectedValue { option, .. } => {
            Failure::usage("option-unknown", &[("name", &format!("{option}=…"))])
        }
        other => Failure::usage("option-unknown", &[("name", &other.to_string())]),
    };
    failure.of(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, Failure> {
        Args::parse(line.split_whitespace().map(OsString::from))
    }

    fn code(line: &str) -> &'static str {
        parse(line).unwrap_err().code
    }

    #[test]
    fn a_question_with_everything() {
        let args = parse(
            "ask a.png b.png what --model m --precision int8 --threads 2 --lang fr --max-tokens 9 --temperature 0.5 \
             --seed 7 --detail low --max-tiles 5 --deadline 500ms --json --stats --stop x --stop y --top-k 5 --max-pixels 100",
        )
        .unwrap();
        assert!(matches!(args.command, Command::Run(Name::Ask)));
        assert_eq!(args.operands, ["a.png", "b.png", "what"]);
        assert_eq!((args.threads, args.lang), (Some(2), Some(Lang::Fr)));
        assert_eq!(args.request.deadline, Some(Duration::from_millis(500)));
        assert_eq!((args.request.max_tokens, args.request.seed, args.request.top_k), (Some(9), 7, 5));
        assert_eq!(args.request.stop, ["x", "y"]);
        assert_eq!(args.limits.max_pixels, 100);
        assert_eq!((args.request.shape.detail, args.request.shape.max_tiles), (Detail::Low, Some(5)));
        assert!(args.json && args.stats);
        assert_eq!(args.load_options().precision, Precision::Int8);
    }

    #[test]
    fn help_and_version() {
        assert!(matches!(parse("--help").unwrap().command, Command::Help(None)));
        assert!(matches!(parse("ask --help").unwrap().command, Command::Help(Some(Name::Ask))));
        assert!(matches!(parse("ask -h a.png").unwrap().command, Command::Help(Some(Name::Ask))));
        assert!(matches!(parse("--version").unwrap().command, Command::Version));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, expected) in [
            ("", "command-missing"),
            ("frobnicate", "command-unknown"),
            ("ask a.png what --frobnicate", "option-unknown"),
            ("ask a.png what -x", "option-unknown"),
            ("ask", "argument-missing"),
            ("ask a.png", "argument-missing"),
            ("ocr", "argument-missing"),
            ("classify a.png", "argument-missing"),
            ("embed --model m", "argument-missing"),
            ("classify --model m a.png --top 0", "value-wrong"),
            ("embed --model m a.png --top 3", "option-elsewhere"),
            ("embed --model m - -", "input-twice"),
            ("detect", "argument-missing"),
            ("detect a.png --lines", "option-elsewhere"),
            ("detect a.png --beams 0", "value-wrong"),
            ("detect - -", "input-twice"),
            ("info a", "argument-extra"),
            ("eval a b", "argument-extra"),
            ("ask - -", "input-twice"),
            ("ask a.png what --lang tlh", "unknown-language"),
            ("ask a.png what --threads 0", "value-wrong"),
            ("ask a.png what --threads", "value-missing"),
            ("ask a.png what --temperature nan", "value-wrong"),
            ("ask a.png what --deadline 0", "value-wrong"),
            ("ask a.png what --deadline 5m", "value-wrong"),
            ("ask a.png what --precision int3", "value-wrong"),
            ("ask a.png what --detail some", "value-wrong"),
            ("ask a.png what --max-tiles 0", "value-wrong"),
            ("ocr a.png --detail low", "option-elsewhere"),
            ("ask a.png what --precision f32,int8", "value-wrong"),
            ("ask a.png what --json=yes", "option-unknown"),
            ("quantize m", "argument-missing"),
            ("quantize m n -o o", "argument-extra"),
            ("quantize m -o o --weights int3", "value-wrong"),
            ("quantize m -o o --bytes 5 --error 0.1", "options-exclude"),
            ("quantize m -o o --error 2", "value-wrong"),
            ("ask a.png what -o o", "option-elsewhere"),
            ("bench m n", "argument-extra"),
            ("bench m --runs 0", "value-wrong"),
            ("ask a.png what --runs 3", "option-elsewhere"),
            ("inspect m n", "argument-extra"),
            ("inspect m --model n", "argument-extra"),
            ("ocr a.png --temperature 1", "option-elsewhere"),
            ("ask a.png what --lines", "option-elsewhere"),
        ] {
            assert_eq!(code(line), expected, "{line:?}");
        }
        let quantize = |line| parse(line).unwrap().quantize_options(&[]);
        assert_eq!(quantize("quantize m -o o --weights int4 --bytes 5").unwrap_err().code, "options-exclude");
        assert_eq!(quantize("quantize m -o o --weights int4 --sparse").unwrap_err().code, "option-elsewhere");
        assert_eq!(quantize("quantize m -o o --sample a.png").unwrap_err().code, "option-elsewhere");
        assert!(quantize("quantize m -o o --sample a.png --sample b.png --bytes 5").is_ok());
        let plain = quantize("quantize --model m --output o").unwrap();
        let target = Target::Precision(WeightFormat::Int8);
        assert_eq!(plain, QuantizeOptions { target, sparse: false, samples: &[] });
        assert_eq!(quantize("quantize m -o o --bytes 5").unwrap().target, Target::Budget(Budget::Bytes(5)));
        assert!(parse("inspect").is_ok() && parse("inspect m --json").is_ok());
        assert!(parse("eval set --precision f32,int8").is_ok());
        assert!(parse("ask - what").is_ok());
    }
}
