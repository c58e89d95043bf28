//! The README and docs/oncall.md name only what exists.

use aioinspect::cli::Cli;
use aioinspect_model::architecture::Architecture;
use clap::{Command, CommandFactory, Parser};

use crate::blessed::{root, text_of};

/// Other programs that a session may show; everything else must be ours.
const OTHERS: [&str; 8] = ["curl", "echo", "cd", "ls", "crit", "criu", "jq", "sudo"];

/// Lines of the fenced blocks of a language in the text of a file, with the number of each.
fn blocks<'t>(path: &str, text: &'t str, language: &str) -> Vec<(usize, &'t str)> {
    let mut inside: Option<bool> = None;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        match (inside, line.strip_prefix("```")) {
            (None, Some(begins)) => inside = Some(begins.trim() == language),
            (Some(_), Some(ends)) => {
                assert!(ends.trim().is_empty(), "{path}:{}: a block begins inside a block", at + 1);
                inside = None;
            }
            (Some(true), None) => lines.push((at + 1, line)),
            (None | Some(false), None) => {}
        }
    }
    assert!(inside.is_none(), "{path}: a block does not end");
    lines
}

/// The words of a shell line up to a pipe, a redirection or a comment; quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | ';' | '&') => break,
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn parses(args: &[String]) -> Result<(), String> {
    let all = ["aioinspect".to_owned()].into_iter().chain(args.iter().cloned());
    match Cli::try_parse_from(all) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What is wrong with one command line of the README: one of ours must be one that the program takes.
fn command(words: &[String]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let owned = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    match words.as_slice() {
        ["sudo", rest @ ..] => command(&owned(rest)),
        ["aioinspect", args @ ..] | ["cargo", "xtask", "run", "--", args @ ..] => parses(&owned(args)),
        ["cargo", "xtask", verb, ..] => {
            let xtask = text_of("xtask/src/main.rs");
            let (first, rest) = verb.split_at(1);
            let variant = format!("    {}{rest}", first.to_uppercase());
            let known = xtask.lines().any(|line| {
                line.strip_prefix(&variant).is_some_and(|rest| rest.starts_with([',', '(', ' ']))
            });
            if known { Ok(()) } else { Err(format!("cargo xtask has no verb {verb}")) }
        }
        ["cargo", "build" | "run" | "test", ..] | [] => Ok(()),
        [other, ..] if OTHERS.contains(other) => Ok(()),
        [other, ..] => Err(format!("what is {other:?}?")),
    }
}

/// Check that the README has the two commands, and that everything typed in its sessions, and in those of the page for who is on call, is
/// understood.
#[test]
fn commands_exist() {
    let readme = text_of("README.md");
    for needed in ["cargo xtask run", "cargo xtask test"] {
        assert!(readme.contains(needed), "README.md does not say {needed:?}");
    }
    for path in ["README.md", "docs/oncall.md"] {
        let text = text_of(path);
        let typed: Vec<(usize, &str)> = blocks(path, &text, "console")
            .into_iter()
            .filter_map(|(at, line)| {
                let rest = line.strip_prefix("# ").or_else(|| line.strip_prefix("$ "))?;
                Some((at, rest))
            })
            .collect();
        assert!(
            !typed.is_empty(),
            "{path} has no session: no console block with a line that begins with # or $"
        );
        assert!(typed.iter().any(|(_, line)| words(line).iter().any(|word| word == "aioinspect")));
        let scripts = ["sh", "shell", "bash"].into_iter().flat_map(|language| blocks(path, &text, language));
        // A block of no language is a script in the README; elsewhere it may be what a log says.
        let plain = if path == "README.md" { blocks(path, &text, "") } else { Vec::new() };
        for (at, line) in typed.into_iter().chain(scripts).chain(plain) {
            command(&words(line)).unwrap_or_else(|why| panic!("{path}:{at}: {why}"));
        }
    }
}

/// Check that each verb of the table is one, each of ours is in it, and each option in its row is one of its options.
#[test]
fn the_table_of_verbs_is_true() {
    let readme = text_of("README.md");
    let mut program = Cli::command();
    program.build();
    let mut rows =
        readme.lines().enumerate().skip_while(|(_, line)| !line.starts_with("| verb |")).skip(2).peekable();
    assert!(rows.peek().is_some(), "README.md has no table that begins with | verb |");
    let mut seen = Vec::new();
    for (at, line) in rows.take_while(|(_, line)| line.starts_with('|')) {
        let codes: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let verb = codes.first().and_then(|code| code.split(' ').next()).unwrap_or_default();
        let found = program.find_subcommand(verb);
        let found = found.unwrap_or_else(|| panic!("README.md:{}: no verb {verb:?}", at + 1));
        for option in
            codes.iter().filter_map(|code| code.split(' ').next()).filter(|code| code.starts_with('-'))
        {
            assert!(has(found, option), "README.md:{}: {verb} has no option {option}", at + 1);
        }
        seen.push(verb);
    }
    for verb in program.get_subcommands().map(Command::get_name).filter(|verb| *verb != "help") {
        assert!(seen.contains(&verb), "README.md: the table lacks {verb}");
    }
}

fn has(verb: &Command, option: &str) -> bool {
    verb.get_arguments().any(|argument| match (option.strip_prefix("--"), option.strip_prefix('-')) {
        (Some(long), _) => argument.get_long() == Some(long),
        (None, Some(short)) => argument.get_short().is_some_and(|c| short == c.to_string()),
        (None, None) => false,
    })
}

/// Where the pictures are that `cargo xtask pictures` makes.
const PICTURES: &str = "docs/pictures";

/// Check that the README shows each picture and no other, that each is one of its kind and small, and that the letters of those that are
/// text are letters: no control character, and nothing that a browser would run or fetch.
#[test]
fn pictures_are_shown() {
    let readme = text_of("README.md");
    let shown: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("!["))
        .map(|line| line.rsplit_once('(').and_then(|(_, path)| path.strip_suffix(')')).unwrap())
        .collect();
    let mut kept: Vec<String> = std::fs::read_dir(root().join(PICTURES))
        .unwrap()
        .map(|entry| format!("{PICTURES}/{}", entry.unwrap().file_name().into_string().unwrap()))
        .filter(|path| !path.ends_with("/sources.txt"))
        .collect();
    kept.sort_unstable();
    let mut sorted = shown.clone();
    sorted.sort_unstable();
    assert_eq!(kept, sorted, "README.md shows other pictures than there are");
    for path in shown {
        let bytes = std::fs::read(root().join(path)).unwrap();
        assert!(bytes.len() < 150_000, "{path}: {} bytes", bytes.len());
        if bytes.starts_with(b"\x89PNG\r\n") {
            continue;
        }
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"), "{path} is neither PNG nor SVG");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{path}: control characters");
        for wrong in ["<script", "href", "<image", "<foreignObject", "&#"] {
            assert!(!text.contains(wrong), "{path}: {wrong}");
        }
    }
}

/// Check that the files that the installation names are the ones that `cargo xtask dist` makes, of each architecture, and that it says what
/// was tried of it.
#[test]
fn installs_what_is_made() {
    let readme = text_of("README.md");
    let version = env!("CARGO_PKG_VERSION");
    for (debian, rust) in [("amd64", Architecture::X86_64), ("arm64", Architecture::Aarch64)] {
        let archive = format!("aioinspect-{version}-{}-linux.tar.gz", rust.name());
        for name in [format!("aioinspect_{version}_{debian}.deb"), archive] {
            assert!(readme.contains(&name), "README.md does not name {name}");
        }
    }
    let tried = format!("Tried with {};", Architecture::Aarch64.tried());
    assert!(readme.contains(&tried), "README.md does not say {tried}");
    let dist = text_of("xtask/src/dist.rs");
    for pattern in ["aioinspect_{VERSION}_{}.deb", "aioinspect-{VERSION}-{}-linux"] {
        assert!(
            dist.contains(pattern),
            "cargo xtask dist makes no {pattern}: README.md names what it made once"
        );
    }
    let unit = text_of("deploy/systemd/aioinspect.service");
    assert!(
        readme.contains("systemctl enable --now aioinspect.service")
            && unit.contains("\nAlso=aioinspect.socket\n")
    );
}

/// Check that the checks can fail.
#[test]
fn wrong_commands_are_noticed() {
    let fails = |line: &str| command(&words(line)).is_err();
    for wrong in [
        "aioinspect lst",
        "aioinspect dump --no-such 1 | head",
        "sudo aioinspect -Z",
        "cargo xtask fly",
        "rm x",
    ] {
        assert!(fails(wrong), "{wrong}");
    }
    for right in
        ["aioinspect", "aioinspect list -Q 'A > 1 and B'  # now", "cargo xtask run -- check 1", "echo $?"]
    {
        assert!(!fails(right), "{right}");
    }
}
