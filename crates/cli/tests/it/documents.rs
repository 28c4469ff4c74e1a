//! What documents show is true: every command in them is run as it stands there, and ends as they say; and the demo
//! prints what the README says it prints.
//!
//! A block of commands says that it is `sh`. A command that must not end with 0 says so in its comment: `# exit 1: …`.
//! Commands run in the order of the document, in the repository, in a folder of labs of their own: the lab of whoever
//! runs the tests has the same name and is not touched.

use std::fs;
use std::path::{Path, PathBuf};

use super::demo;
use super::home::{Home, root};

const README: &str = "README.md";
/// What stands in a transcript where lines are left out.
const LEFT_OUT: &str = "...";

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// The line of its fence, from 1.
    line: usize,
    /// What stands behind the fence.
    language: String,
    lines: Vec<String>,
}

/// What is done about a command.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// It is run and ends with this code.
    Run { code: i32 },
    /// `make TARGET` is only looked up: building and testing from within a test would never end.
    LookUp { target: String },
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                open = Some(Block {
                    line: number,
                    language: language.trim().to_owned(),
                    lines: Vec::new(),
                });
            }
            (Some(_end), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.lines.push(line.to_owned());
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert_eq!(open, None, "a block without an end");
    blocks
}

/// The commands of a block, each with its line; one that goes on behind a backslash is one.
fn commands(block: &Block) -> Vec<(usize, String)> {
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (block.line + 1..).zip(&block.lines) {
        match commands.last_mut() {
            Some((_, command)) if goes_on => {
                command.push('\n');
                command.push_str(line);
            }
            _ if line.trim().is_empty() || line.trim_start().starts_with('#') => continue,
            _ => commands.push((number, line.clone())),
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

fn plan(command: &str) -> Result<Plan, String> {
    let (words, comment) = command.split_once(" # ").unwrap_or((command, ""));
    let words: Vec<&str> = words.split_whitespace().collect();
    match words.as_slice() {
        ["make", target] => Ok(Plan::LookUp {
            target: (*target).to_owned(),
        }),
        ["oncilla", ..] => {
            let Some(said) = comment.trim().strip_prefix("exit ") else {
                return Ok(Plan::Run { code: 0 });
            };
            let number = said.split(':').next().unwrap_or_default();
            let code = number
                .trim()
                .parse()
                .map_err(|_no_number| format!("{said:?} starts with no exit code"))?;
            Ok(Plan::Run { code })
        }
        _ => Err("neither oncilla nor make: tell this test how to run it".to_owned()),
    }
}

fn has_target(makefile: &str, target: &str) -> bool {
    makefile
        .lines()
        .any(|line| line.split_once(':').is_some_and(|(name, _)| name == target))
}

/// Every document of the repository, the README first.
fn documents() -> Vec<PathBuf> {
    let mut paths = listed(&root());
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        let inside = listed(&folder);
        folders.extend(inside.iter().filter(|path| path.is_dir()).cloned());
        paths.extend(inside);
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort_by_key(|path| (!path.ends_with(README), path.clone()));
    paths
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Whether a block that says nothing of itself holds commands.
fn looks_like_commands(block: &Block) -> bool {
    let programs = ["oncilla", "make", "cargo", "curl", "nft", "sudo", "scripts"];
    block.lines.iter().any(|line| {
        let line = line.trim_start().trim_start_matches("$ ");
        let word = line.split([' ', '/']).next().unwrap_or_default();
        programs.contains(&word)
    })
}

#[test]
fn every_command_is_run_as_it_stands_and_ends_as_the_document_says() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut run = 0;
    for path in documents() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let home = Home::new();
        for block in blocks(&fs::read_to_string(&path).unwrap()) {
            let is_drawing =
                block.language.is_empty() && name != README && !looks_like_commands(&block);
            assert!(
                is_drawing || ["sh", "text"].contains(&block.language.as_str()),
                "{name}:{}: say ```sh of commands, ```text of what is printed",
                block.line
            );
            if block.language != "sh" {
                continue;
            }
            for (line, command) in commands(&block) {
                let place = format!("{name}:{line}: {command}");
                match plan(&command).unwrap_or_else(|error| panic!("{place}: {error}")) {
                    Plan::LookUp { target } => assert!(has_target(&makefile, &target), "{place}"),
                    Plan::Run { code } => {
                        ends_with(&home, &command, code, &place);
                        run += 1;
                    }
                }
            }
        }
        // A document takes down what it put up.
        home.assert_empty();
    }
    assert!(run > 5, "the reader of documents is blind: {run} commands");
}

fn ends_with(home: &Home, command: &str, code: i32, place: &str) {
    let said = home.shell(command);
    assert_eq!(said.code, code, "{place}\n{}{}", said.out, said.err);
    // People are slower than agents; what comes next may be about what was applied.
    if command.starts_with("oncilla apply ") {
        home.until_current();
    }
}

#[test]
fn the_readme_shows_what_the_demo_prints() {
    let text = fs::read_to_string(root().join(README)).unwrap();
    let blocks = blocks(&text);
    let mut shown = blocks.iter().filter(|block| block.language == "text");
    let block = shown.next().unwrap();
    assert_eq!(shown.next(), None, "what is this test to compare it with?");
    if let Err(missing) = is_excerpt(&block.lines, demo::told()) {
        panic!(
            "{README}:{}: the demo does not print\n{missing}",
            block.line
        );
    }
}

/// Whether runs of lines between those left out stand in a text in their order; the run that does not is the error.
fn is_excerpt(lines: &[String], of: &str) -> Result<(), String> {
    let whole: Vec<String> = of.lines().map(without_numbers).collect();
    let mut rest = whole.as_slice();
    for run in lines.split(|line| line == LEFT_OUT) {
        let run: Vec<String> = run.iter().map(|line| without_numbers(line)).collect();
        let found = (0..=rest.len())
            .find(|at| rest.get(*at..).is_some_and(|rest| rest.starts_with(&run)))
            .ok_or_else(|| run.join("\n"))?;
        rest = rest.get(found + run.len()..).unwrap_or_default();
    }
    Ok(())
}

/// A line with every number, measured or not, as `#`.
fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        if !c.is_ascii_digit() {
            text.push(c);
            continue;
        }
        while rest.next_if(|c| c.is_ascii_digit() || *c == '.').is_some() {}
        text.push('#');
    }
    text
}

#[test]
fn documents_are_read_as_people_read_them() {
    let text = "\
a
```sh
# first
make demo     # plays
oncilla why -f a \\
    b c   # exit 1: denied

oncilla status
```
```
b
```
";
    let blocks = blocks(text);
    assert_eq!(blocks.len(), 2);
    assert_eq!((blocks[1].line, blocks[1].language.as_str()), (10, ""));
    let commands = commands(&blocks[0]);
    let expect = [
        (
            4,
            "make demo     # plays",
            Plan::LookUp {
                target: "demo".to_owned(),
            },
        ),
        (
            5,
            "oncilla why -f a \\\n    b c   # exit 1: denied",
            Plan::Run { code: 1 },
        ),
        (8, "oncilla status", Plan::Run { code: 0 }),
    ];
    assert_eq!(commands.len(), expect.len());
    for ((line, command), (at, text, planned)) in commands.iter().zip(expect) {
        assert_eq!((*line, command.as_str()), (at, text));
        assert_eq!(plan(command), Ok(planned));
    }
}

#[test]
fn what_would_not_be_run_is_noticed() {
    for command in [
        "rm -rf x",
        "make",
        "make demo test",
        "oncilla lab down # exit when done",
    ] {
        let planned = plan(command);
        assert!(planned.is_err(), "{command}: {planned:?}");
    }
    assert!(has_target("demo: ## Play\n", "demo") && !has_target("demo: x\n", "dem"));
    let block = |text: &str| blocks(&format!("```\n{text}\n```\n")).remove(0);
    assert!(looks_like_commands(&block("  $ oncilla status")));
    assert!(looks_like_commands(&block("scripts/test")));
    assert!(!looks_like_commands(&block("store -> model")));
}

#[test]
fn an_excerpt_keeps_lines_and_their_order() {
    let whole = "a 1\nb 2.5 ms\nc\nd\n";
    let check = |shown: &str| {
        let lines: Vec<String> = shown.lines().map(str::to_owned).collect();
        is_excerpt(&lines, whole)
    };
    for shown in ["a 7\nb 31 ms", "a 1\n...\nd", "c"] {
        assert_eq!(check(shown), Ok(()), "{shown}");
    }
    for (shown, missing) in [
        ("a 1\nc", "a #\nc"),
        ("d\n...\na 1", "a #"),
        ("b 2 us", "b # us"),
    ] {
        assert_eq!(check(shown), Err(missing.to_owned()), "{shown}");
    }
}
