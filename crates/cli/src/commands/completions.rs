//! `completions`: scripts that make a shell finish commands, options and the values that are known.

use std::{fmt::Write as _, process::ExitCode};

use crate::{
    args::{Args, FLAGS, Name},
    failure::Failure,
    output::Output,
};

/// `completions bash|zsh|fish|powershell`.
pub(crate) fn completions(args: &Args, output: &mut Output) -> Result<ExitCode, Failure> {
    let shell = args.operands.first().map(|shell| shell.to_string_lossy().into_owned()).unwrap_or_default();
    let script = match shell.as_str() {
        "bash" => bash(),
        "zsh" => format!("#compdef tiny-vlm\nautoload -U +X bashcompinit && bashcompinit\n{}", bash()),
        "fish" => fish(),
        "powershell" => powershell(),
        _ => {
            let details =
                [("name", "SHELL"), ("value", shell.as_str()), ("expected", "bash, zsh, fish, powershell")];
            return Err(Failure::usage("value-wrong", &details).of(Some(Name::Completions)));
        }
    };
    output.text(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// The values of an option that has only a few.
fn values(flag: &str) -> Option<&'static str> {
    match flag {
        "precision" => Some("auto f32 bf16 f16 int8 int4"),
        "detail" => Some("low auto high"),
        "weights" => Some("int8 int4 int4-g64 int2 int2-g64 bf16 f16 f32"),
        "lang" => Some("en es fr de ja zh"),
        _ => None,
    }
}

fn flags(command: Name) -> String {
    let flags = FLAGS.iter().filter(|flag| flag.commands.contains(&command));
    flags.map(|flag| format!("--{}", flag.long)).collect::<Vec<_>>().join(" ")
}

fn commands() -> String {
    Name::ALL.map(Name::as_str).join(" ")
}

fn bash() -> String {
    let mut cases = String::new();
    for name in Name::ALL {
        let operands = if name == Name::Completions { "bash zsh fish powershell" } else { "" };
        push(&mut cases, format_args!("    {}) words=\"{} {operands}\" ;;\n", name.as_str(), flags(name)));
    }
    let mut options = String::new();
    for flag in ["precision", "detail", "weights", "lang"] {
        let values = values(flag).unwrap_or_default();
        push(
            &mut options,
            format_args!("    --{flag}) COMPREPLY=($(compgen -W \"{values}\" -- \"$current\")); return ;;\n"),
        );
    }
    format!(
        "_tiny_vlm() {{\n  local current=\"${{COMP_WORDS[COMP_CWORD]}}\" words=\"\"\n  \
         case \"${{COMP_WORDS[COMP_CWORD-1]}}\" in\n{options}    \
         --model|--output) COMPREPLY=($(compgen -d -- \"$current\")); return ;;\n  esac\n  \
         if [ \"$COMP_CWORD\" -eq 1 ]; then\n    \
         COMPREPLY=($(compgen -W \"{} --help --version\" -- \"$current\")); return\n  fi\n  \
         case \"${{COMP_WORDS[1]}}\" in\n{cases}  esac\n  \
         COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}}\n\
         complete -o default -F _tiny_vlm tiny-vlm\n",
        commands()
    )
}

fn fish() -> String {
    let mut out = String::new();
    push(&mut out, format_args!("complete -c tiny-vlm -n __fish_use_subcommand -a '{}'\n", commands()));
    push(&mut out, format_args!("complete -c tiny-vlm -n __fish_use_subcommand -l help\n"));
    push(&mut out, format_args!("complete -c tiny-vlm -n __fish_use_subcommand -l version\n"));
    push(
        &mut out,
        format_args!(
            "complete -c tiny-vlm -n '__fish_seen_subcommand_from completions' -xa 'bash zsh fish powershell'\n"
        ),
    );
    for flag in FLAGS {
        let names: Vec<_> = flag.commands.iter().map(|name| name.as_str()).collect();
        let value = match (values(flag.long), flag.value) {
            (Some(values), _) => format!(" -xa '{values}'"),
            (None, Some(_)) => " -r".to_owned(),
            (None, None) => String::new(),
        };
        let names = names.join(" ");
        push(
            &mut out,
            format_args!(
                "complete -c tiny-vlm -n '__fish_seen_subcommand_from {names}' -l {}{value}\n",
                flag.long
            ),
        );
    }
    out
}

fn powershell() -> String {
    let mut cases = String::new();
    for name in Name::ALL {
        let words = flags(name).replace(' ', "','");
        push(&mut cases, format_args!("    '{}' {{ @('{words}') }}\n", name.as_str()));
    }
    format!(
        "Register-ArgumentCompleter -Native -CommandName tiny-vlm -ScriptBlock {{\n  \
         param($word, $ast, $position)\n  \
         $command = if ($ast.CommandElements.Count -gt 1) {{ \"$($ast.CommandElements[1])\" }} else {{ '' }}\n  \
         $words = switch ($command) {{\n{cases}    default {{ @('{}','--help','--version') }}\n  }}\n  \
         $words | Where-Object {{ $_ -like \"$word*\" }} | ForEach-Object {{\n    \
         [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)\n  }}\n}}\n",
        commands().replace(' ', "','")
    )
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_knows_every_command_and_option() {
        for script in [bash(), fish(), powershell()] {
            for name in Name::ALL {
                assert!(script.contains(name.as_str()));
            }
            for flag in FLAGS {
                assert!(script.contains(flag.long), "{}", flag.long);
            }
        }
    }
}
