//! `pull`: a model of the hub into the cache of this machine.

use std::process::ExitCode;

use crate::{args::Args, failure::Failure, output::Output, words::Words};

/// `pull OWNER/NAME [--revision R] [--json]`: writes the folder that the model is in then.
#[cfg(feature = "hub")]
pub(crate) fn pull(args: &Args, words: Words, output: &mut Output) -> Result<ExitCode, Failure> {
    use crate::{
        args::Name,
        hub::{Cache, Client, Download, Repo, is_revision},
        json,
        meter::Meter,
    };

    let wrong = |name, value: &str, expected| {
        let details = [("name", name), ("value", value), ("expected", expected)];
        Failure::usage("value-wrong", &details).of(Some(Name::Pull))
    };
    let name = args.operands.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    let repo = Repo::parse(&name).ok_or_else(|| wrong("OWNER/NAME", &name, "OWNER/NAME"))?;
    let revision = args.revision.as_deref().unwrap_or("main");
    if !is_revision(revision) {
        return Err(wrong("--revision", revision, "main, v1.0, …"));
    }
    let cache = Cache::find().ok_or_else(|| Failure::input("hub-no-cache", &[]))?;
    let (client, meter) = (Client::new()?, Meter::new(words));
    let download = Download::new(&client, &cache, &repo, revision, &meter)?;
    let fetched = download.run(revision)?;
    meter.clear();
    let folder = download.snapshot().display().to_string();
    if args.json {
        let made =
            json::Pulled { repo: repo.to_string(), revision, commit: download.commit(), folder: &folder };
        output.line(&json::pulled(made, &fetched))?;
    } else {
        output.line(&folder)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Says that this build opens no network.
#[cfg(not(feature = "hub"))]
pub(crate) fn pull(_args: &Args, _words: Words, _output: &mut Output) -> Result<ExitCode, Failure> {
    Err(Failure::usage("no-hub", &[]))
}
