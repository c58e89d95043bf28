//! `aioinspect completions` and `aioinspect man`: what clap knows of the arguments, in the forms of shells and of man(1).

use std::io::Write;

use clap::{Command, CommandFactory};

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::commands::exit::{Exit, UsageError};
use aioinspect_kernel::host::files;
use aioinspect_render::escape::escape;

/// Prints the completions.
pub fn completions(args: &CompletionsArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "aioinspect", &mut text);
    out.write_all(&text)?;
    Ok(Exit::Fine)
}

/// Prints one page, or writes all of them.
pub fn man(args: &ManArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
    let pages = pages();
    if let Some(dir) = &args.dir {
        for (name, command) in &pages {
            let path = files::write_new(dir, &format!("{name}.1"), &rendered(command)?, 0o644)?;
            writeln!(err, "aioinspect: wrote {}", escape(path.as_os_str().as_encoded_bytes()))?;
        }
        return Ok(Exit::Fine);
    }
    let name =
        args.verb.as_ref().map_or_else(|| "aioinspect".to_owned(), |verb| format!("aioinspect-{verb}"));
    let Some((_, command)) = pages.into_iter().find(|(page, _)| *page == name) else {
        let verb = args.verb.as_deref().unwrap_or_default();
        return Err(UsageError(format!("there is no verb {}", escape(verb.as_bytes()))).into());
    };
    out.write_all(&rendered(&command)?)?;
    Ok(Exit::Fine)
}

/// The commands that have a page, by the page's name.
fn pages() -> Vec<(String, Command)> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let verbs = root.get_subcommands().map(|verb| {
        let name = format!("aioinspect-{}", verb.get_name());
        let page = verb.clone().name(name.clone()).bin_name(format!("aioinspect {}", verb.get_name()));
        (name, page)
    });
    let mut pages: Vec<(String, Command)> = verbs.collect();
    pages.insert(0, ("aioinspect".to_owned(), root));
    pages
}

fn rendered(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .section("1")
        .source(concat!("aioinspect ", env!("CARGO_PKG_VERSION")))
        .manual("aioinspect")
        .render(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that every verb has a page that names it and its options, and that there are completions for it.
    #[test]
    fn every_verb() {
        let pages = pages();
        let mut shell = Vec::new();
        completions(&CompletionsArgs { shell: clap_complete::Shell::Bash }, &mut shell).unwrap();
        let shell = String::from_utf8(shell).unwrap();
        for verb in Cli::command().get_subcommands() {
            let (_, command) =
                pages.iter().find(|(name, _)| *name == format!("aioinspect-{}", verb.get_name())).unwrap();
            let page = String::from_utf8(rendered(command).unwrap()).unwrap();
            assert!(page.contains(".TH aioinspect-"), "{page}");
            assert!(
                shell.contains(&format!("aioinspect__subcmd__{}", verb.get_name()).replace("__subcmd", ""))
                    || shell.contains(verb.get_name())
            );
        }
    }
}
