//! `aioinspect completions` and `aioinspect man`: what clap knows of the arguments, in the forms of shells and of man(1).

use std::io::Write;

use clap::{Command, CommandFactory};

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::commands::exit::{Exit, UsageError};
use aioinspect_kernel::host::files;
use aioinspect_render::escape::escape;

/// Prints the completions.
pub(super) fn completions(args: &CompletionsArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "aioinspect", &mut text);
    out.write_all(&text)?;
    Ok(Exit::Fine)
}

/// Prints one page, or writes all of them.
pub(super) fn man(args: &ManArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
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

    /// The verbs, and what options each has: `--long` and `-s`, without those that are hidden.
    fn verbs() -> Vec<(String, Vec<String>)> {
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let options = |command: &Command| {
            let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
            let both = shown.flat_map(|arg| {
                let long = arg.get_long().map(|long| format!("--{long}"));
                long.into_iter().chain(arg.get_short().map(|short| format!("-{short}")))
            });
            both.collect()
        };
        root.get_subcommands().map(|verb| (verb.get_name().to_owned(), options(verb))).collect()
    }

    fn completions_of(shell: clap_complete::Shell) -> String {
        let mut text = Vec::new();
        completions(&CompletionsArgs { shell }, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Checks that in what a shell offers after a verb each of its options is a word of its own.
    fn offers(shell: &str, verb: &str, offered: &str, options: &[String]) {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let words: Vec<&str> = offered.split(|c| !is_of_word(c)).collect();
        for option in options {
            assert!(words.contains(&&**option), "{shell} offers no {option} of {verb}");
        }
    }

    /// Check that bash offers every verb, and after it each of its options.
    #[test]
    fn bash() {
        let text = completions_of(clap_complete::Shell::Bash);
        let opts = |head: &str| {
            let (_, of) = text.split_once(&format!("        {head})\n            opts=\"")).unwrap();
            of.split_once('"').unwrap().0
        };
        for (verb, options) in verbs() {
            assert!(opts("aioinspect").split(' ').any(|word| word == verb), "{verb}");
            offers(
                "bash",
                &verb,
                opts(&format!("aioinspect__subcmd__{}", verb.replace('-', "__subcmd__"))),
                &options,
            );
        }
    }

    /// Check that zsh offers every verb, and after it each of its options.
    #[test]
    fn zsh() {
        let text = completions_of(clap_complete::Shell::Zsh);
        for (verb, options) in verbs() {
            assert!(text.contains(&format!("\n'{verb}:")), "{verb}");
            let (_, of) = text.split_once(&format!("({verb})\n_arguments ")).unwrap();
            offers("zsh", &verb, of.split_once("\n;;\n").unwrap().0, &options);
        }
    }

    /// Check that fish offers every verb, and after it each of its options.
    #[test]
    fn fish() {
        let text = completions_of(clap_complete::Shell::Fish);
        for (verb, options) in verbs() {
            assert!(text.lines().any(|line| line.contains(&format!(" -a \"{verb}\""))), "{verb}");
            let after = format!("__fish_aioinspect_using_subcommand {verb}\" ");
            let of: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(&after)?.1)).collect();
            for option in options {
                let told = match option.strip_prefix("--") {
                    Some(long) => format!("-l {long}"),
                    None => option.replacen('-', "-s ", 1),
                };
                let is_told = |line: &&str| format!(" {line} ").contains(&format!(" {told} "));
                assert!(of.iter().any(is_told), "fish offers no {option} of {verb}");
            }
        }
    }

    /// Check that the page of the program names every verb, and that of each verb its options.
    #[test]
    fn man_pages() {
        let page = |name: &str| {
            let pages = pages();
            let (_, command) = pages.iter().find(|(page, _)| page == name).unwrap();
            String::from_utf8(rendered(command).unwrap()).unwrap().replace("\\-", "-")
        };
        let front = page("aioinspect");
        for (verb, options) in verbs() {
            let name = format!("aioinspect-{verb}");
            assert!(front.contains(&format!("{name}(1)")), "{verb}: {front}");
            let page = page(&name);
            assert!(page.contains(&format!(".TH {name} 1 ")), "{page}");
            for option in options {
                assert!(page.contains(&format!("\\fB{option}\\fR")), "{name} has no {option}: {page}");
            }
        }
    }
}
