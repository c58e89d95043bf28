//! docs/compatibility.md names the kernels and passes of `.ci/kernels.txt`, which are what the live suites run on, and says what differs
//! between architectures as the model has it.

use aioinspect_model::architecture::{Architecture, DIFFERENCES};

use crate::blessed::text_of;

/// A line of the list that is not indented, and those below it that are.
struct Listed<'t> {
    words: Vec<&'t str>,
    terms: Vec<String>,
}

fn listed(text: &str) -> Vec<Listed<'_>> {
    let mut list: Vec<Listed<'_>> = Vec::new();
    for line in text.lines().map(|line| line.split('#').next().unwrap().trim_end()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with(' ') {
            list.last_mut().unwrap().terms.push(words.join(" "));
        } else if !words.is_empty() {
            list.push(Listed { words, terms: Vec::new() });
        }
    }
    list
}

/// The row of the one table or the other.
fn row(Listed { words, terms }: &Listed<'_>) -> String {
    let code = |terms: Vec<&str>, none: &str| match terms.as_slice() {
        [] => none.to_owned(),
        terms => terms.iter().map(|term| format!("`{term}`")).collect::<Vec<_>>().join(", "),
    };
    let (runs, conditions): (Vec<&str>, Vec<&str>) = terms
        .iter()
        .map(String::as_str)
        .partition(|term| term.starts_with("run ") || term.starts_with("sequences ") || *term == "by-name");
    let runs = code(runs.iter().map(|run| run.strip_prefix("run ").unwrap_or(run)).collect(), "all");
    match words.as_slice() {
        ["native"] => "| `native` | - | - | all |".to_owned(),
        [name, "on", kernel] => format!("| `{name}` | `{kernel}` | {} | {runs} |", code(conditions, "none")),
        [name, suite, package] => format!("| `{name}` | {suite} | {package} | {runs} |"),
        words => panic!("{words:?} of .ci/kernels.txt"),
    }
}

/// Check that the tables have a row for each kernel and each pass, in the list's order, and for nothing else.
#[test]
fn kernels_and_passes_are_the_lists() {
    let document = text_of("docs/compatibility.md");
    let list = text_of(".ci/kernels.txt");
    let (passes, kernels): (Vec<_>, Vec<_>) =
        listed(&list).into_iter().partition(|listed| listed.words.get(1) == Some(&"on"));
    for (head, listed) in [
        ("| kernel | Debian's suite | package | suites |", kernels),
        ("| pass | on | conditions | suites |", passes),
    ] {
        has_table(&document, head, &listed.iter().map(row).collect::<Vec<_>>());
    }
}

/// Check that the table of architectures is the model's, with a column for each.
#[test]
fn differences_are_the_models() {
    let cells = |what: &str, of: &dyn Fn(Architecture) -> &'static str| {
        format!("| {what} | {} |", Architecture::ALL.map(of).join(" | "))
    };
    let head = cells("what", &Architecture::name);
    let rows: Vec<String> = DIFFERENCES.iter().map(|row| cells(row.what, &|one| row.on(one))).collect();
    has_table(&text_of("docs/compatibility.md"), &head, &rows);
}

/// The table below that head has these rows and no other.
fn has_table(document: &str, head: &str, expected: &[String]) {
    let rows: Vec<&str> = document
        .lines()
        .skip_while(|line| *line != head)
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(
        rows,
        expected,
        "docs/compatibility.md, the table `{head}` should be\n{}\n",
        expected.join("\n")
    );
}
